"""What all recipes do before they train: check, claim the run's folder, see what is left to do.

No TensorFlow here: a fault of what the user gave is told at once.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import tfps
from models.errors import InputError
from models.files import write_atomically
from models.run_folder import RunFolder
from models.settings import RunSettings

if TYPE_CHECKING:
    import keras

# A job spec sets it to where the tasks of all machines find it.
RUNS_VARIABLE = "TFPS_CHECKPOINT_DIR"
RUNS = Path(os.environ.get(RUNS_VARIABLE) or "runs")


class Data(Protocol):
    """What a run trains on; `str()` says how much there is."""

    @property
    def digest(self) -> str:
        """A hash of the data."""


AnySettings = TypeVar("AnySettings", bound=RunSettings)
AnyData = TypeVar("AnyData", bound=Data)


def run(
    recipe: str,
    settings: AnySettings,
    prepare: Callable[[AnySettings], Callable[[], None]],
    evaluate: Callable[[AnySettings], tfps.SidecarEvaluator],
    *,
    before_serving: Callable[[], None] = lambda: None,
) -> None:
    """Check on the chief what the user gave, then train there; evaluate or serve on other tasks.

    Args:
        recipe: The recipe's name, which its error messages begin with.
        settings: What the user gave.
        prepare: Reads the data and claims the run's folder, without TensorFlow, and returns what
            is left to do. An InputError ends the process with code 2.
        evaluate: Returns what an evaluator does; called there only.
        before_serving: Called on a worker or ps; imports what the data's ops need there.
    """
    config = tfps.TFConfig.from_environment()
    task_type = config.task.type if config else "chief"
    if task_type in ("worker", "ps"):
        before_serving()
        tfps.run(lambda: None)
        return
    try:
        _check_place(config)
        settings.check()
        left_to_do = prepare(settings) if task_type == "chief" else lambda: None
        tfps.run(left_to_do, functools.partial(evaluate, settings))
    except InputError as error:
        print(f"{recipe}: {error}", file=sys.stderr)
        sys.exit(2)


def _check_place(config: tfps.TFConfig | None) -> None:
    given = os.environ.get(RUNS_VARIABLE, "")
    if "://" in given:
        raise InputError(
            f"{RUNS_VARIABLE} is {given!r}, but a recipe needs a folder: mount what it means, and "
            "give the path (on Vertex AI, gs://mine is mounted at /gcs/mine)."
        )
    if config and config.task.type == "evaluator" and config.task.index > 0:
        raise InputError(f"{config.task} has nothing to do: one evaluator does all there is.")


def side_car(settings: RunSettings, model: keras.Model, held_out: Any) -> tfps.SidecarEvaluator:
    """Return what evaluates each epoch of a run on held-out data, and keeps the best.

    Args:
        settings: Of the run.
        model: Like the one that is trained, compiled.
        held_out: The data.
    """
    folder = run_folder(settings)
    return tfps.SidecarEvaluator(
        model,
        held_out,
        folder.backup_folder,
        log_dir=folder.evaluator_folder,
        keep_best=folder.evaluator_folder / "best.weights.h5",
    )


def run_folder(settings: RunSettings) -> RunFolder:
    """Return the folder of the run that settings name."""
    return RunFolder(RUNS / settings.name)


def start_or_resume(
    settings: AnySettings, data: AnyData, train: Callable[[AnySettings, AnyData, RunFolder], None]
) -> Callable[[], None]:
    """Introduce the data, claim the run's folder, and return what is left to do.

    Args:
        settings: Of the run.
        data: What it trains on.
        train: Trains from the last checkpoint on, if there is one, and calls `finish` at last.

    Raises:
        InputError: The folder holds another run, or is damaged.
    """
    introduce(settings, data)
    folder = claim(settings, data)
    return left_to_do(
        settings,
        folder,
        functools.partial(train, settings, data, folder),
        last_file=folder.result_file,
        summary=_summary,
    )


def finish(folder: RunFolder, result: str) -> None:
    """Keep and print what a run has reached."""
    write_atomically(folder.result_file, f"{result}\n".encode())
    print(_summary(folder), flush=True)


def _summary(folder: RunFolder) -> str:
    return folder.result_file.read_text() + folder.contents()


def introduce(settings: RunSettings, data: Data) -> None:
    """Print what the data are; where only the check was asked for, end the process instead."""
    if settings.check_only:
        sys.exit(0)
    print(data, flush=True)


def claim(
    settings: RunSettings, data: Data, packages: Sequence[str] = (), **digests: str
) -> RunFolder:
    """Make the run's folder, or check that it holds a run that these settings resume.

    Args:
        settings: Of the run.
        data: What it trains on.
        packages: Whose versions config.json records beside those of Keras and TensorFlow.
        digests: Hashes of what else must be the same for the run to resume.

    Raises:
        InputError: The folder holds another run, or is damaged.
    """
    folder = run_folder(settings)
    versions = {
        package: importlib.metadata.version(package)
        for package in sorted({"keras", "tensorflow", *packages})
    }
    config = {
        "settings": dataclasses.asdict(settings),
        "data": str(data),
        "python": sys.version.split()[0],
        "versions": versions,
    }
    folder.claim(settings.identity(data=data.digest, **digests), config)
    return folder


def left_to_do(
    settings: RunSettings,
    folder: RunFolder,
    train: Callable[[], None],
    *,
    last_file: Path,
    summary: Callable[[RunFolder], str],
) -> Callable[[], None]:
    """Return `train`, or what says that the run is finished.

    Args:
        settings: Of the run.
        folder: The run's, already claimed.
        train: Trains from the last checkpoint on, if there is one.
        last_file: What `train` writes last: with all epochs and this file, a run is finished.
        summary: Says what a finished run has reached.

    Raises:
        InputError: The checkpoint is damaged.
    """
    done = folder.completed_epochs()
    if done >= settings.epochs and last_file.exists():
        return functools.partial(print, _finished(folder, done, summary), flush=True)
    if done:
        print(f"{folder.path}: resuming after epoch {done} of {settings.epochs}.", flush=True)
    folder.trim_history(done)
    last_file.unlink(missing_ok=True)
    return train


def _finished(folder: RunFolder, done: int, summary: Callable[[RunFolder], str]) -> str:
    return (
        f"{folder.path} is finished: {done} epochs.\n{summary(folder)}\n"
        f"To go on, give more --epochs than {done}; for a new run, give another --name or remove "
        f"{folder.path}."
    )
