"""Labelled texts that are on every machine: passages of Python's standard library."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

from models.errors import InputError
from models.labelled_texts import Labelled, LabelledTexts, hold_out

# Those that all Pythons since 3.11 have and that are large enough to learn.
PACKAGES = ("asyncio", "email", "http", "importlib", "multiprocessing", "unittest", "urllib", "xml")
LINES = 5


def package_passages(root: Path | None = None) -> LabelledTexts:
    """Take passages of five lines from eight packages; the label is the package.

    Code, comments and docstrings are taken as they come, empty lines and indentation left out.
    The passages are held out one by one, so names that a file uses often are known from training.

    Args:
        root: The library's folder; that of the running Python by default.

    Raises:
        InputError: The folder holds the source of fewer than two of the packages.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    labelled = [passage for package in PACKAGES for passage in _passages(root / package, package)]
    if len({label for _, label in labelled}) < 2:
        raise InputError(
            f"{root}: this Python comes without the source of its standard library. Give labelled "
            "texts of your own: --data FILE --text-column NAME --label-column NAME."
        )
    return hold_out(f"Packages of Python's standard library by {LINES} lines", labelled)


def _passages(folder: Path, package: str) -> Iterator[Labelled]:
    for path in sorted(folder.rglob("*.py")):
        if {"test", "tests"}.intersection(path.relative_to(folder).parts):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        for start in range(0, len(lines), LINES):
            yield "\n".join(lines[start : start + LINES]), package
