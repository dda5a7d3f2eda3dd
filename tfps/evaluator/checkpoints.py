"""Which checkpoints there are: Keras's files, and those of tf.train.Checkpoint."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Iterable, Iterator

import tensorflow as tf

KERAS_SUFFIXES = (".weights.h5", ".keras")
# BackupAndRestore(double_checkpoint=True) keeps what it is about to overwrite.
BACKUP_SUFFIX = ".bkp"
# Of a tf.train.Checkpoint; TensorFlow writes it when the values are there.
INDEX_SUFFIX = ".index"

_WHOLE_NUMBER = re.compile(r"(?<![\d.])\d+(?!\.?\d)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileVersion:
    """A file as it was at some time.

    Attributes:
        path: Where it lies, on this machine or where else tf.io.gfile reads.
        size_bytes: Its size.
        modified_ns: When it was last written, in nanoseconds since 1970.
    """

    path: str
    size_bytes: int
    modified_ns: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as it was at some time; an overwritten one is another.

    Attributes:
        path: The Keras file, or the prefix that the files of a tf.train.Checkpoint share.
        files: All of its files.
    """

    path: str
    files: tuple[FileVersion, ...]

    @property
    def name(self) -> str:
        """Its name, without the folder."""
        return os.path.basename(self.path)

    @property
    def order(self) -> tuple[int, list[int], str]:
        """What sorts checkpoints by time, and those of one time by the numbers in their names."""
        numbers = [int(number) for number in re.findall(r"\d+", self.name)]
        return max(file.modified_ns for file in self.files), numbers, self.path

    @property
    def number(self) -> int | None:
        """The last whole number in its name: 3 of `ckpt-3`, and of `epoch-03-0.52.weights.h5`."""
        stem = self.name.removesuffix(BACKUP_SUFFIX)
        for suffix in KERAS_SUFFIXES:
            stem = stem.removesuffix(suffix)
        numbers = _WHOLE_NUMBER.findall(stem)
        return int(numbers[-1]) if numbers else None


def find(place: str) -> tuple[Checkpoint, ...]:
    """Find the checkpoints of a folder, or those that a glob pattern matches.

    Args:
        place: A folder, a glob pattern, one file, or the prefix of a tf.train.Checkpoint. Nothing
            need be there yet.
    """
    return tuple(
        checkpoint
        for path in _paths(place)
        if (checkpoint := _checkpoint(path)) and not checkpoint.name.startswith(".")
    )


def is_as_found(checkpoint: Checkpoint) -> bool:
    """Return whether nobody has written or removed a file of the checkpoint since."""
    return tuple(_versions(file.path for file in checkpoint.files)) == checkpoint.files


def _paths(place: str) -> set[str]:
    if tf.io.gfile.isdir(place):
        return {tf.io.gfile.join(place, name) for name in tf.io.gfile.listdir(place)}
    ends = ("", BACKUP_SUFFIX, INDEX_SUFFIX)
    return {path for end in ends for path in tf.io.gfile.glob(place + end)}


def _checkpoint(path: str) -> Checkpoint | None:
    if path.removesuffix(BACKUP_SUFFIX).endswith(KERAS_SUFFIXES):
        files = [path]
    elif path.endswith(INDEX_SUFFIX):
        path = path.removesuffix(INDEX_SUFFIX)
        files = [*sorted(tf.io.gfile.glob(f"{glob.escape(path)}.data-*")), path + INDEX_SUFFIX]
    else:
        return None
    versions = tuple(_versions(files))
    return Checkpoint(path=path, files=versions) if len(versions) == len(files) else None


def _versions(paths: Iterable[str]) -> Iterator[FileVersion]:
    for path in paths:
        try:
            yield _version(path)
        except (FileNotFoundError, tf.errors.NotFoundError):
            continue


def _version(path: str) -> FileVersion:
    if "://" in path:
        remote = tf.io.gfile.stat(path)
        return FileVersion(path=path, size_bytes=remote.length, modified_ns=remote.mtime_nsec)
    # TensorFlow cuts the time of a local file to seconds, in which it may be written twice. And NFS
    # may answer with what it knew a minute ago, but not for a file that was just opened.
    with open(path, "rb") as file:
        local = os.fstat(file.fileno())
    return FileVersion(path=path, size_bytes=local.st_size, modified_ns=local.st_mtime_ns)
