"""The folder that a run leaves, and what it says of where the run stands. No TensorFlow here."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import InputError
from models.files import write_atomically

_BACKUP_METADATA = "training_metadata.json"


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """What a run writes: the chief, but for `evaluator`. A recipe adds files of its own to `path`.

    Attributes:
        path: The folder, made by `claim`.
    """

    path: Path

    @property
    def config_file(self) -> Path:
        """What the run was started with."""
        return self.path / "config.json"

    @property
    def history_file(self) -> Path:
        """One row for each epoch, written by Keras's CSVLogger."""
        return self.path / "history.csv"

    @property
    def curve_file(self) -> Path:
        """Loss and metric over the epochs."""
        return self.path / "loss.png"

    @property
    def result_file(self) -> Path:
        """What a finished run has reached; a recipe may leave another file instead."""
        return self.path / "result.txt"

    @property
    def tensorboard_folder(self) -> Path:
        """Events for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def backup_folder(self) -> Path:
        """Where Keras's BackupAndRestore keeps the last epoch, the optimizer's state included."""
        return self.path / "checkpoints" / "last"

    @property
    def best_file(self) -> Path:
        """The weights of the epoch with the lowest held-out loss."""
        return self.path / "checkpoints" / "best.weights.h5"

    @property
    def evaluator_folder(self) -> Path:
        """What the evaluator leaves, if the job has one: events for TensorBoard, the best."""
        return self.path / "evaluator"

    def claim(self, identity: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Make the folder and write its config, or check that it belongs to the same run.

        Args:
            identity: What must be the same for the run to resume.
            config: Everything else that a reader wants to know; rewritten each time.

        Raises:
            InputError: The folder was made with another identity, or its config is damaged.
        """
        identity = json.loads(json.dumps(identity, default=os.fspath))
        if self.config_file.exists():
            self._check(identity)
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        content = json.dumps({"identity": identity, **config}, indent=2, default=os.fspath)
        write_atomically(self.config_file, f"{content}\n".encode())

    def _check(self, identity: Mapping[str, Any]) -> None:
        try:
            earlier = dict(json.loads(self.config_file.read_text())["identity"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.config_file} cannot be read ({error!r}). "
                f"Remove {self.path} to train afresh."
            ) from error
        changes = [
            f"  {key}: {earlier.get(key)!r} then, {identity.get(key)!r} now"
            for key in sorted({*earlier, *identity})
            if earlier.get(key) != identity.get(key)
        ]
        if changes:
            raise InputError(
                "\n".join([f"{self.path} holds a run with other settings:", *changes])
                + "\nTo resume it, give what it had; for a new run, give another --name."
            )

    def contents(self) -> str:
        """List what is in the folder, for a reader."""
        names = [f"{path.name}/" if path.is_dir() else path.name for path in self.path.iterdir()]
        *first, last = sorted(names)
        return f"{self.path}/ has {', '.join(first)} and {last}"

    def completed_epochs(self) -> int:
        """Read how many epochs the last checkpoint has seen; 0 without one.

        Raises:
            InputError: The checkpoint's metadata are damaged.
        """
        metadata = self.backup_folder / _BACKUP_METADATA
        if not metadata.exists():
            return 0
        try:
            return int(json.loads(metadata.read_text())["epoch"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(
                f"{metadata} cannot be read ({error!r}). Remove {self.path} to train afresh."
            ) from error

    def history(self) -> list[dict[str, float]]:
        """Read the history, a row for each epoch in order; epochs count from 0 as Keras's do."""
        # Of an epoch that was trained twice (from an older checkpoint), the later row counts.
        rows = {int(row["epoch"]): row for row in self._history_rows()}
        return [{key: float(value) for key, value in rows[epoch].items()} for epoch in sorted(rows)]

    def trim_history(self, epochs: int) -> None:
        """Drop rows of epochs that the last checkpoint has not seen: they are trained again."""
        rows = [row for row in self._history_rows() if int(row["epoch"]) < epochs]
        if not rows:
            self.history_file.unlink(missing_ok=True)
            return
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.history_file, text.getvalue().encode())

    def _history_rows(self) -> list[dict[str, str]]:
        if not self.history_file.exists():
            return []
        with self.history_file.open(newline="") as file:
            # A row that was cut short by a kill has None for what is missing.
            return [row for row in csv.DictReader(file) if None not in row.values()]
