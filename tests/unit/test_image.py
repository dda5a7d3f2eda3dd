"""Dockerfile, .dockerignore and docker/: what they say of the project is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what follows each, on one line."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


def default_of(argument: str) -> str:
    values = [text.partition("=")[2].strip('"') for name, text in instructions() if name == "ARG"]
    names = [text.partition("=")[0] for name, text in instructions() if name == "ARG"]
    return dict(zip(names, values, strict=True))[argument]


def copied() -> set[str]:
    """What the Dockerfile takes from the build's context."""
    copies = [text for name, text in instructions() if name == "COPY" and "--from" not in text]
    return {source for text in copies for source in text.split()[:-1]}


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def pins(file: str) -> dict[str, str]:
    """The version of each package that a file pins."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if "==" in line]
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def test_the_base_has_a_python_that_tfps_works_with() -> None:
    [version] = re.findall(r"python:(3\.\d+)-", default_of("BASE"))
    assert f"Programming Language :: Python :: {version}" in project()["classifiers"]


def test_what_the_image_installs_is_pinned() -> None:
    extras = default_of("EXTRAS").split()
    groups = [project()["dependencies"], *(project()["optional-dependencies"][x] for x in extras)]
    names = {canonicalize_name(Requirement(text).name) for group in groups for text in group}
    assert names - set(pins("requirements.lock")) == set()


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_each_device_has_its_requirements(device: str) -> None:
    assert (ROOT / "docker" / f"{device}.txt").exists()


def test_tensorflow_without_gpus_has_the_version_of_the_lock() -> None:
    table = tomllib.loads((ROOT / "docker/tensorflow/pyproject.toml").read_text())["project"]
    version = pins("requirements.lock")["tensorflow"]
    assert (table["name"], table["version"]) == ("tensorflow", version)
    assert table["dependencies"] == [f"tensorflow-cpu=={version}"]


def test_cuda_is_pinned_to_what_tensorflow_asks_for() -> None:
    asked_for = [Requirement(text) for text in metadata.requires("tensorflow") or ()]
    cuda = [x for x in asked_for if x.marker and "and-cuda" in str(x.marker)]
    pinned = pins("docker/gpu.txt")
    assert {canonicalize_name(x.name) for x in cuda} == set(pinned)
    assert [x.name for x in cuda if not x.specifier.contains(pinned[x.name])] == []


def test_what_is_copied_exists_and_is_all_that_the_build_is_sent() -> None:
    assert {source for source in copied() if not (ROOT / source).exists()} == set()
    first, *rest = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert first == "*"
    assert {line[1:] for line in rest if line.startswith("!")} == copied()


def test_the_image_runs_as_a_number_other_than_root() -> None:
    # With a name, Kubernetes cannot tell that runAsNonRoot holds.
    *_, user = [text for name, text in instructions() if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_image_and_its_page_have_the_version_of_the_project() -> None:
    version = project()["version"]
    [labels] = [text for name, text in instructions() if name == "LABEL"]
    assert f'org.opencontainers.image.version="{version}"' in labels
    for file in ("Dockerfile", "docs/images.md"):
        tags = re.findall(r"\btfps:(\d[\w.]*)", (ROOT / file).read_text())
        assert set(tags) == {version}, file


def test_no_registry_is_named() -> None:
    # Without one, the short name is an official image's.
    assert "/" not in default_of("BASE")
    for file in (ROOT / "Dockerfile", *(ROOT / "docker").glob("**/*.t*")):
        assert "://" not in file.read_text(), file


def test_hadolint_finds_nothing() -> None:
    command = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("hadolint is not installed")
    run = subprocess.run([command, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "")
