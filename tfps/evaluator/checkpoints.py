"""Find checkpoints (Keras's files and those of tf.train.Checkpoint), and pick the next one."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Iterable, Iterator

import tensorflow as tf

KERAS_SUFFIXES = (".weights.h5", ".keras")
# BackupAndRestore(double_checkpoint=True) keeps the file that it is about to overwrite.
BACKUP_SUFFIX = ".bkp"
# TensorFlow writes a tf.train.Checkpoint's index file last.
INDEX_SUFFIX = ".index"

TRIES = 3
"""How often reading a checkpoint is tried."""

_WHOLE_NUMBER = re.compile(r"(?<![\d.])\d+(?!\.?\d)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileVersion:
    """A file as it was at one time.

    Attributes:
        path: Its path, on this machine or anywhere that tf.io.gfile reads.
        size_bytes: Its size.
        modified_ns: When it was last written, in nanoseconds since 1970.
    """

    path: str
    size_bytes: int
    modified_ns: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as it was at one time; if it is overwritten, that makes another one.

    Attributes:
        path: The Keras file, or the prefix that the files of a tf.train.Checkpoint share.
        files: All of its files.
    """

    path: str
    files: tuple[FileVersion, ...]

    @property
    def name(self) -> str:
        """Its file name, without the folder."""
        return os.path.basename(self.path)

    @property
    def order(self) -> tuple[int, list[int], str]:
        """The sort key: the time of writing, then the numbers in the name."""
        numbers = [int(number) for number in re.findall(r"\d+", self.name)]
        return max(file.modified_ns for file in self.files), numbers, self.path

    @property
    def number(self) -> int | None:
        """The last whole number in its name: 3 in `ckpt-3` and in `epoch-03-0.52.weights.h5`."""
        stem = self.name.removesuffix(BACKUP_SUFFIX)
        for suffix in KERAS_SUFFIXES:
            stem = stem.removesuffix(suffix)
        numbers = _WHOLE_NUMBER.findall(stem)
        return int(numbers[-1]) if numbers else None


def find(place: str) -> tuple[Checkpoint, ...]:
    """Return the checkpoints of a folder, or those that a glob pattern matches.

    Args:
        place: A folder, a glob pattern, one file, or the prefix of a tf.train.Checkpoint. It need
            not exist yet.
    """
    return tuple(
        checkpoint
        for path in _paths(place)
        if (checkpoint := _checkpoint(path)) and not checkpoint.name.startswith(".")
    )


def is_as_found(checkpoint: Checkpoint) -> bool:
    """Return whether no file of the checkpoint was written or removed since it was found."""
    return tuple(_versions(file.path for file in checkpoint.files)) == checkpoint.files


class Watch:
    """Remembers which checkpoints were found and which are done. It opens no file.

    A checkpoint is ready when two searches in a row have found it unchanged. Until then, somebody
    may still be writing it.
    """

    def __init__(self, done: Iterable[Checkpoint] = (), *, skip_to_newest: bool = False) -> None:
        """Start with the checkpoints that were done before.

        Args:
            done: Checkpoints that are not returned again.
            skip_to_newest: Whether to skip checkpoints that are older than one that is ready or
                done.
        """
        self._done = set(done)
        self._skip_to_newest = skip_to_newest
        self._found: frozenset[Checkpoint] = frozenset()
        self._tries: dict[Checkpoint, int] = {}

    def next_ready(self, found: Iterable[Checkpoint]) -> Checkpoint | None:
        """Note which checkpoints exist now; return the oldest that is ready and not done."""
        previous, self._found = self._found, frozenset(found)
        ready = (self._found & previous) - self._done
        if self._skip_to_newest and ready:
            newest = max(ready | self._done, key=lambda checkpoint: checkpoint.order)
            self._done |= ready - {newest}
            ready &= {newest} - self._done
        return min(ready, key=lambda checkpoint: checkpoint.order, default=None)

    @property
    def is_done(self) -> bool:
        """Whether all checkpoints that the last search found are done."""
        return self._found <= self._done

    def finish(self, checkpoint: Checkpoint) -> None:
        """Note that a checkpoint is done."""
        self._done.add(checkpoint)

    def failed(self, checkpoint: Checkpoint) -> bool:
        """Note a failed try; return whether it was the last one."""
        self._tries[checkpoint] = self._tries.get(checkpoint, 0) + 1
        return self._tries[checkpoint] >= TRIES


def _paths(place: str) -> set[str]:
    if tf.io.gfile.isdir(place):
        return {tf.io.gfile.join(place, name) for name in tf.io.gfile.listdir(place)}
    suffixes = ("", BACKUP_SUFFIX, INDEX_SUFFIX)
    return {path for suffix in suffixes for path in tf.io.gfile.glob(place + suffix)}


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
    # TensorFlow rounds a local file's time to seconds, within which it may be written twice. NFS
    # may return attributes that are a minute old, except for a file that was just opened.
    with open(path, "rb") as file:
        local = os.fstat(file.fileno())
    return FileVersion(path=path, size_bytes=local.st_size, modified_ns=local.st_mtime_ns)
