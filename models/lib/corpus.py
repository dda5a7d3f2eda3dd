"""A corpus: text files split into passages, some of them held out. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.lib.examples import unit_hash
from models.lib.inputs import InputError

HELD_OUT_FRACTION = 0.04
MAX_PASSAGE_BYTES = 64 << 10
MIN_PASSAGE_BYTES = 2 << 10
# If there are fewer files than this, passages are held out instead of whole files.
MIN_FILES_TO_HOLD_OUT = 40
_LEFT_OUT_FOLDERS = frozenset(
    {"dist-packages", "idle_test", "pydoc_data", "site-packages", "test", "tests"}
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passage:
    """Consecutive whole lines of one file.

    Attributes:
        path: Absolute path of the file; workers read it themselves.
        start_byte: Offset of the passage in the file.
        size_bytes: Length of the passage, at least 1.
        file_bytes: Length of the file.
    """

    path: str
    start_byte: int
    size_bytes: int
    file_bytes: int

    def read(self) -> str:
        """Read the passage's text."""
        with open(self.path, "rb") as file:
            file.seek(self.start_byte)
            return file.read(self.size_bytes).decode("utf-8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus:
    """Passages to train on, and passages that are held out.

    Attributes:
        name: Where the text comes from, for a reader.
        train: Passages to train on.
        held_out: Passages that are held out.
        file_count: Number of files that the passages come from.
        digest: A hash of all paths (relative to the corpus's root) and their content.
    """

    name: str
    train: tuple[Passage, ...]
    held_out: tuple[Passage, ...]
    file_count: int
    digest: str

    def __str__(self) -> str:
        """Say how much text each part has."""
        train, held_out = (
            sum(p.size_bytes for p in part) / 1e6 for part in (self.train, self.held_out)
        )
        return (
            f"{self.name}: {_count(self.file_count, 'file')}, {train:.1f} MB to train on, "
            f"{held_out:.1f} MB held out"
        )


def standard_library(root: Path | None = None) -> Corpus:
    """Take the source of Python's standard library, which every machine has.

    It leaves out the tests, since many systems ship Python without them, installed packages, and
    the generated pydoc_data. Files that are not UTF-8 (a few, on purpose) are skipped.

    Args:
        root: Folder of the library; by default that of the running Python.

    Raises:
        InputError: The folder contains no source.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    paths = [
        path
        for path in sorted(root.rglob("*.py"))
        if not _LEFT_OUT_FOLDERS.intersection(path.relative_to(root).parts) and path.is_file()
    ]
    readable = [path for path in paths if _first_fault(path) is None]
    if not any(path.stat().st_size for path in readable):
        raise InputError(
            f"{root}: this Python comes without the source of its standard library. Give text "
            "files of your own: --data 'texts/*.txt'."
        )
    return _corpus("Python's standard library", root, readable)


def text_files(pattern: str) -> Corpus:
    """Take the text files that match a glob pattern, `**` included.

    Raises:
        InputError: No file matches, all are empty, or one is not UTF-8.
    """
    matches = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
    paths = [Path(match).absolute() for match in matches if os.path.isfile(match)]
    if not paths:
        raise InputError(_no_match(pattern, matches))
    for path in paths:
        if fault := _first_fault(path):
            raise InputError(f"--data {pattern!r}: {path}: {fault}")
    if not any(path.stat().st_size for path in paths):
        raise InputError(
            f"--data {pattern!r}: {_count(len(paths), 'file')} matched, all empty (the first: "
            f"{paths[0]}, 0 bytes). Give files that hold text."
        )
    return _corpus(f"--data {pattern!r}", _fixed_folder(pattern), paths)


def _corpus(name: str, root: Path, paths: Sequence[Path]) -> Corpus:
    """Split files into passages and hold some out, by a hash that is the same on every machine."""
    by_file = len(paths) >= MIN_FILES_TO_HOLD_OUT
    total = sum(path.stat().st_size for path in paths)
    limit = MAX_PASSAGE_BYTES
    if not by_file:
        limit = min(max(total // 200, MIN_PASSAGE_BYTES), MAX_PASSAGE_BYTES)
    hashed: list[tuple[float, Passage]] = []
    digest = hashlib.sha256()
    for path in paths:
        key = path.relative_to(root).as_posix()
        digest.update(f"{key}\0{path.stat().st_size}\0".encode())
        for passage in _passages(path, limit, digest):
            hashed.append((unit_hash(key if by_file else f"{key}:{passage.start_byte}"), passage))
    # Hold out at least one, whatever the hashes.
    threshold = max(HELD_OUT_FRACTION, min(share for share, _ in hashed))
    train = tuple(passage for share, passage in hashed if share > threshold)
    held_out = tuple(passage for share, passage in hashed if share <= threshold)
    if not train:
        raise InputError(
            f"{name}: {total} bytes are too few to train on one part and hold out another. "
            "Give more text; 1 MB is a good start."
        )
    return Corpus(
        name=name,
        train=train,
        held_out=held_out,
        file_count=len(paths),
        digest=digest.hexdigest(),
    )


def _passages(path: Path, limit_bytes: int, digest: hashlib._Hash) -> Iterator[Passage]:
    """Split a file after each line that reaches the limit, and add its content to the digest."""
    file_bytes = path.stat().st_size
    start = end = 0
    with path.open("rb") as file:
        for line in file:
            digest.update(line)
            end += len(line)
            if end - start >= limit_bytes or end == file_bytes:
                yield Passage(
                    path=os.path.abspath(path),
                    start_byte=start,
                    size_bytes=end - start,
                    file_bytes=file_bytes,
                )
                start = end


def _first_fault(path: Path) -> str | None:
    """Say why a file cannot be read as UTF-8 text; None if it can."""
    line_number = line_start_byte = 0
    try:
        with path.open("rb") as file:
            for line in file:
                line_number += 1
                line.decode("utf-8")
                line_start_byte += len(line)
    except UnicodeDecodeError as error:
        return (
            f"not UTF-8: byte {line_start_byte + error.start} (line {line_number}) is "
            f"0x{error.object[error.start]:02x}, {error.reason}. Convert the file "
            "(iconv -f latin1 -t utf-8), or leave it out of the pattern."
        )
    except OSError as error:
        return (
            f"cannot be read: {error.strerror}. Make it readable, or leave it out of the pattern."
        )
    return None


def _no_match(pattern: str, matches: Sequence[str]) -> str:
    if matches:
        return (
            f"--data {pattern!r}: matches only folders (the first: {matches[0]}). "
            f"Name the files in it: --data '{matches[0].rstrip('/')}/**/*.txt'."
        )
    return (
        f"--data {pattern!r}: no file matches, looked for from {os.getcwd()}. "
        "Check the path, and quote the pattern so that the shell leaves it alone."
    )


def _fixed_folder(pattern: str) -> Path:
    """Return the folder of a pattern: its part before the first wildcard."""
    parts = Path(os.path.expanduser(pattern)).absolute().parts
    wild = (index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[: next(wild, len(parts) - 1)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
