"""What an evaluator has done, kept in a file so that a restarted one goes on from there."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf

from tfps.evaluator.checkpoints import Checkpoint, FileVersion

FILE = "evaluated.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A checkpoint that was evaluated.

    Attributes:
        checkpoint: As it was found.
        digest: A hash of its content.
        step: The step it is of.
        results: What `model.evaluate` returned.
    """

    checkpoint: Checkpoint
    digest: str
    step: int
    results: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best:
    """The best checkpoint, which is kept.

    Attributes:
        path: The path of its Keras file, or the prefix of its tf.train.Checkpoint.
        monitor: The result that it is the best by.
        value: That result.
    """

    path: str
    monitor: str
    value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """All that was evaluated, in this order, and the best of it."""

    evaluated: tuple[Evaluated, ...] = ()
    best: Best | None = None

    def with_evaluated(self, evaluated: Evaluated, best: Best | None) -> Record:
        """Return the record with one checkpoint more."""
        return Record(evaluated=(*self.evaluated, evaluated), best=best)

    def has(self, digest: str) -> bool:
        """Return whether a checkpoint of this content was evaluated."""
        return any(evaluated.digest == digest for evaluated in self.evaluated)


def read(folder: str) -> Record:
    """Read the record of a folder; an empty one where there is none.

    Raises:
        ValueError: The file is damaged.
    """
    path = os.path.join(folder, FILE)
    if not tf.io.gfile.exists(path):
        return Record()
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    try:
        content = json.loads(text)
        return Record(
            evaluated=tuple(_evaluated(entry) for entry in content["evaluated"]),
            best=Best(**content["best"]) if content["best"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error!r}). Remove it to evaluate all checkpoints anew."
        ) from error


def write(record: Record, folder: str) -> None:
    """Write the record into a folder, all of it or nothing."""
    tf.io.gfile.makedirs(folder)
    path = os.path.join(folder, FILE)
    passing = f"{path}.{os.getpid()}"
    with tf.io.gfile.GFile(passing, "w") as file:
        file.write(json.dumps(dataclasses.asdict(record), indent=1))
    tf.io.gfile.rename(passing, path, overwrite=True)


def _evaluated(entry: dict[str, Any]) -> Evaluated:
    found = entry.pop("checkpoint")
    files = tuple(FileVersion(**file) for file in found["files"])
    return Evaluated(checkpoint=Checkpoint(path=found["path"], files=files), **entry)
