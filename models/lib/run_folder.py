"""The folder of a run: what is in it, and how far the run has got. No TensorFlow here."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.lib.inputs import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BACKUP_METADATA = "training_metadata.json"


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The files of a run. The chief writes all but `evaluator`; a recipe adds its own.

    Attributes:
        path: The folder, created by `claim`.
    """

    path: Path

    @property
    def config_file(self) -> Path:
        """The settings that the run was started with, and versions."""
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
        """The results of a finished run; a recipe may write another file instead."""
        return self.path / "result.txt"

    @property
    def tensorboard_folder(self) -> Path:
        """Events for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def backup_folder(self) -> Path:
        """The last epoch's checkpoint, with optimizer state, by Keras's BackupAndRestore."""
        return self.path / "checkpoints" / "last"

    @property
    def best_file(self) -> Path:
        """The weights of the epoch with the lowest held-out loss."""
        return self.path / "checkpoints" / "best.weights.h5"

    @property
    def evaluator_folder(self) -> Path:
        """The evaluator's files, if the job has one: events for TensorBoard, the best weights."""
        return self.path / "evaluator"

    def claim(self, identity: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Create the folder and write its config, or check that it belongs to the same run.

        Args:
            identity: What must be equal for the run to resume.
            config: Everything else that a reader wants to know; rewritten each time.

        Raises:
            InputError: The folder belongs to a run with another identity, or its config is damaged.
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

    def save(self, name: str, content: str | bytes | Figure) -> None:
        """Write text, bytes or a figure (as PNG) to a file of the folder."""
        if isinstance(content, str):
            content = content.encode()
        write_atomically(self.path / name, content if isinstance(content, bytes) else png(content))

    def contents(self) -> str:
        """Return a sentence that lists the files in the folder."""
        names = [f"{path.name}/" if path.is_dir() else path.name for path in self.path.iterdir()]
        *first, last = sorted(names)
        return f"{self.path}/ has {', '.join(first)} and {last}"

    def completed_epochs(self) -> int:
        """Return how many epochs the last checkpoint has seen; 0 without one.

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
        """Return the history, one row per epoch in order; epochs count from 0 as Keras's do."""
        # An epoch that was trained twice (from an older checkpoint) has two rows: the later counts.
        rows = {int(row["epoch"]): row for row in self._history_rows()}
        return [{key: float(value) for key, value in rows[epoch].items()} for epoch in sorted(rows)]

    def trim_history(self, epochs: int) -> None:
        """Drop rows of epochs that the last checkpoint has not seen: they will be trained again."""
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
            # In a row that a kill cut short, missing values are None.
            return [row for row in csv.DictReader(file) if None not in row.values()]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def wait_for(path: Path, *, timeout_s: float = 600.0) -> None:
    """Wait until another task has written a file.

    Raises:
        InputError: The file does not exist after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() >= deadline:
            raise InputError(
                f"Waited {timeout_s:g} s for {path}, which the chief writes. Check that it trains "
                "with the same settings, and that both see the same folder."
            )
        time.sleep(min(0.5, timeout_s))


def png(figure: Figure) -> bytes:
    """Render a figure as a PNG file, without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()
