"""What an evaluator has done, kept in a file from which a restarted evaluator continues."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf

from tfps.evaluator.checkpoints import Checkpoint, FileVersion

FILE = "evaluated.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatedCheckpoint:
    """A checkpoint that was evaluated, and the results.

    Attributes:
        checkpoint: The checkpoint as it was found.
        digest: A hash of its content.
        step: The step of its weights.
        results: What `model.evaluate` returned.
    """

    checkpoint: Checkpoint
    digest: str
    step: int
    results: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeptCheckpoint:
    """The best checkpoint, of which a copy is kept.

    Attributes:
        path: The path of its Keras file, or the prefix of its tf.train.Checkpoint.
        monitor: The result by which it was chosen.
        value: The value of that result.
    """

    path: str
    monitor: str
    value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """All evaluated checkpoints, in order, and the best of them."""

    evaluated: tuple[EvaluatedCheckpoint, ...] = ()
    best: KeptCheckpoint | None = None

    def with_evaluated(
        self, evaluated: EvaluatedCheckpoint, best: KeptCheckpoint | None
    ) -> EvaluationRecord:
        """Return the record with one more checkpoint."""
        return EvaluationRecord(evaluated=(*self.evaluated, evaluated), best=best)

    def has(self, digest: str) -> bool:
        """Return whether a checkpoint with this content was evaluated."""
        return any(evaluated.digest == digest for evaluated in self.evaluated)


def read(folder: str) -> EvaluationRecord:
    """Return the record in a folder; an empty record if there is none.

    Raises:
        ValueError: The file is damaged.
    """
    path = os.path.join(folder, FILE)
    if not tf.io.gfile.exists(path):
        return EvaluationRecord()
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    try:
        content = json.loads(text)
        return EvaluationRecord(
            evaluated=tuple(_evaluated(entry) for entry in content["evaluated"]),
            best=KeptCheckpoint(**content["best"]) if content["best"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error!r}). Remove it to evaluate all checkpoints anew."
        ) from error


def write(record: EvaluationRecord, folder: str) -> None:
    """Write the record into a folder atomically."""
    tf.io.gfile.makedirs(folder)
    path = os.path.join(folder, FILE)
    temporary = f"{path}.{os.getpid()}"
    with tf.io.gfile.GFile(temporary, "w") as file:
        file.write(json.dumps(dataclasses.asdict(record), indent=1))
    tf.io.gfile.rename(temporary, path, overwrite=True)


def _evaluated(entry: dict[str, Any]) -> EvaluatedCheckpoint:
    checkpoint = entry.pop("checkpoint")
    files = tuple(FileVersion(**file) for file in checkpoint["files"])
    return EvaluatedCheckpoint(checkpoint=Checkpoint(path=checkpoint["path"], files=files), **entry)
