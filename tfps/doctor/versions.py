"""Which versions are installed, and which ones tfps works with, as the packages' metadata say."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata

from packaging.requirements import Requirement

PYTHON = "Python"
PACKAGES = {
    "tfps": ("tfps",),
    "TensorFlow": ("tensorflow", "tensorflow-cpu"),
    "Keras": ("keras",),
    "keras-nlp": ("keras-nlp",),
    "keras-hub": ("keras-hub",),
    "tensorflow-text": ("tensorflow-text",),
    "numpy": ("numpy",),
}
"""Under which names each is installed: TensorFlow for CPUs alone is a package of its own."""


def installed() -> dict[str, str]:
    """Return the version of Python and of each of `PACKAGES` that is installed."""
    found = {PYTHON: platform.python_version()}
    for package, names in PACKAGES.items():
        for name in reversed(names):
            with contextlib.suppress(metadata.PackageNotFoundError):
                found[package] = metadata.version(name)
    return found


def supported() -> dict[str, str]:
    """Return the versions that this tfps works with, as `>=3.15,<3.16`, where it has a range."""
    try:
        wanted = metadata.metadata("tfps")
    except metadata.PackageNotFoundError:
        return {}
    ranges = {PYTHON: (wanted.get_all("Requires-Python") or [""])[0]}
    for text in wanted.get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        for package, names in PACKAGES.items():
            if requirement.name in names and requirement.marker is None:
                ranges[package] = ",".join(sorted(map(str, requirement.specifier), reverse=True))
    return {package: specifier for package, specifier in ranges.items() if specifier}


def missing_for_gpus() -> tuple[str, ...]:
    """Return what `tensorflow[and-cuda]` would install and is not there."""
    try:
        wanted = [Requirement(text) for text in metadata.requires("tensorflow") or ()]
    except metadata.PackageNotFoundError:
        return ("tensorflow",)
    extra = {"extra": "and-cuda"}
    cuda = [one.name for one in wanted if "and-cuda" in str(one.marker) and _holds(one, extra)]
    return tuple(name for name in cuda if not _is_installed(name))


def _holds(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def _is_installed(name: str) -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return bool(metadata.version(name))
    return False
