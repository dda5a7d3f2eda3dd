"""What this process finds out about software: package versions, and GPUs TensorFlow can use."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata

from packaging.requirements import Requirement

from tfps.doctor.observations import PACKAGES, PYTHON, Gpu, Gpus
from tfps.log import say

_LIST_GPUS = ("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits")
_LIST_TIMEOUT_S = 20.0
# Importing TensorFlow and starting CUDA takes seconds, and far longer on a busy machine.
_ASK_TIMEOUT_S = 120.0
_ASK = "import tensorflow as tf; print('gpus', len(tf.config.list_physical_devices('GPU')))"
_MIB = 1 << 20


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of each of `PACKAGES` that is installed."""
    versions = {PYTHON: platform.python_version()}
    for package, names in PACKAGES.items():
        for name in reversed(names):
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[package] = metadata.version(name)
    return versions


def supported_versions() -> dict[str, str]:
    """Return the versions that this tfps supports, e.g. `>=3.15,<3.16`, where it has a range."""
    try:
        tfps = metadata.metadata("tfps")
    except metadata.PackageNotFoundError:
        return {}
    ranges = {PYTHON: (tfps.get_all("Requires-Python") or [""])[0]}
    for text in tfps.get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        for package, names in PACKAGES.items():
            if requirement.name in names and requirement.marker is None:
                ranges[package] = ",".join(sorted(map(str, requirement.specifier), reverse=True))
    return {package: specifier for package, specifier in ranges.items() if specifier}


def find_gpus(*, ask_tensorflow: bool, environ: Mapping[str, str] = os.environ) -> Gpus:
    """Return the GPUs of this machine.

    Args:
        ask_tensorflow: Whether to start a process that asks TensorFlow how many GPUs it can use, if
            there are any that are not hidden. Only TensorFlow knows whether its drivers and
            libraries match.
        environ: The environment of the task.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return Gpus()
    hidden = environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    try:
        done = _run([program, *_LIST_GPUS], _LIST_TIMEOUT_S)
        if done.returncode != 0:
            return Gpus(fault=_last_line(done.stdout + done.stderr), hidden=hidden)
        listed = parse_gpus(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Gpus(fault=str(error), hidden=hidden)
    if not (ask_tensorflow and listed) or hidden:
        return Gpus(listed=listed, hidden=hidden)
    say(f"asking TensorFlow how many of {len(listed)} GPUs it can use.", "tfps doctor")
    return Gpus(listed=listed, usable=_usable_gpus(), missing=_missing_cuda_packages())


def parse_gpus(listing: str) -> tuple[Gpu, ...]:
    """Read the list that nvidia-smi prints: name, driver and MiB of memory, one GPU per line.

    Raises:
        ValueError: A line has another form.
    """
    return tuple(_parse_gpu(line) for line in listing.splitlines() if line.strip())


def _parse_gpu(line: str) -> Gpu:
    fields = [field.strip() for field in line.rsplit(",", 2)]
    if len(fields) != 3:
        raise ValueError(f"nvidia-smi's line {line!r} is not a name, a driver and a memory.")
    # A GPU that shares the machine's memory has "[N/A]" there.
    memory_bytes = int(fields[2]) * _MIB if fields[2].isdigit() else 0
    return Gpu(name=fields[0], driver=fields[1], memory_bytes=memory_bytes)


def _usable_gpus() -> int:
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        done = _run([sys.executable, "-c", _ASK], _ASK_TIMEOUT_S)
        word, number = _last_line(done.stdout).split()
        return int(number) if word == "gpus" else 0
    return 0


def _missing_cuda_packages() -> tuple[str, ...]:
    """Return the packages that `tensorflow[and-cuda]` would install and that are not installed."""
    try:
        requirements = [Requirement(text) for text in metadata.requires("tensorflow") or ()]
    except metadata.PackageNotFoundError:
        return ("tensorflow",)
    return tuple(
        requirement.name
        for requirement in requirements
        if requirement.marker is not None
        and "and-cuda" in str(requirement.marker)
        and requirement.marker.evaluate({"extra": "and-cuda"})
        and not _is_installed(requirement.name)
    )


def _is_installed(name: str) -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return bool(metadata.version(name))
    return False


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
