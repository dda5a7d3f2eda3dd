"""The GPUs of this machine: what nvidia-smi lists, and how many of them TensorFlow can use."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

from tfps.doctor import versions
from tfps.doctor.facts import Gpu, Gpus
from tfps.doctor.log import say

_LIST = ("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits")
_LIST_TIMEOUT_S = 20.0
# TensorFlow's import and CUDA's start take seconds, and on a busy machine many.
_ASK_TIMEOUT_S = 120.0
_ASK = "import tensorflow as tf; print('gpus', len(tf.config.list_physical_devices('GPU')))"
_UNITS_BYTES = 1 << 20


def look(*, ask_tensorflow: bool, environ: Mapping[str, str] = os.environ) -> Gpus:
    """Return the GPUs of this machine.

    Args:
        ask_tensorflow: Whether to ask TensorFlow in a process of its own, when there is a GPU that
            is not hidden, how many it can use. Only it knows: drivers and libraries must match.
        environ: The environment of the task.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return Gpus()
    hidden = environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    try:
        done = _run([program, *_LIST], _LIST_TIMEOUT_S)
        if done.returncode != 0:
            return Gpus(fault=_last_line(done.stdout + done.stderr), hidden=hidden)
        listed = parse(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Gpus(fault=str(error), hidden=hidden)
    asked = ask_tensorflow and listed and not hidden
    if asked:
        say(f"asking TensorFlow how many of {len(listed)} GPUs it can use.")
    return Gpus(
        listed=listed,
        hidden=hidden,
        usable=_usable() if asked else None,
        missing=versions.missing_for_gpus() if asked else (),
    )


def parse(listing: str) -> tuple[Gpu, ...]:
    """Read nvidia-smi's list: name, driver and MiB of memory, one GPU a line.

    Raises:
        ValueError: A line is not of this form.
    """
    return tuple(_parse_line(line) for line in listing.splitlines() if line.strip())


def _parse_line(line: str) -> Gpu:
    fields = [field.strip() for field in line.rsplit(",", 2)]
    if len(fields) != 3:
        raise ValueError(f"nvidia-smi's line {line!r} is not a name, a driver and a memory.")
    # A GPU that shares the machine's memory has "[N/A]" there.
    memory = int(fields[2]) * _UNITS_BYTES if fields[2].isdigit() else 0
    return Gpu(name=fields[0], driver=fields[1], memory_bytes=memory)


def _usable() -> int:
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        done = _run([sys.executable, "-c", _ASK], _ASK_TIMEOUT_S)
        word, number = _last_line(done.stdout).split()
        return int(number) if word == "gpus" else 0
    return 0


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
