"""What all recipes do around training: check the settings, start or resume a run, print its result.

TensorFlow is not imported here, so that bad settings or data are reported at once.
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
from models.lib.inputs import InputError
from models.lib.run_folder import RunFolder
from models.lib.settings import RunSettings

if TYPE_CHECKING:
    import keras

# A job spec sets this variable to a folder that all machines share.
RUNS_VARIABLE = "TFPS_CHECKPOINT_DIR"
RUNS = Path(os.environ.get(RUNS_VARIABLE) or "runs")


class Data(Protocol):
    """The data of a run; `str()` says how much there is."""

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
    """Train on the chief, serve on a worker or ps, evaluate on an evaluator.

    Args:
        recipe: The recipe's name, which its error messages begin with.
        settings: The user's settings.
        prepare: Called on the chief. Reads the data and claims the run's folder, without
            TensorFlow, and returns the function that trains. An InputError ends the process with
            code 2.
        evaluate: Called on an evaluator.
        before_serving: Called on a worker or ps; imports the ops that the data pipeline needs.
    """
    config = tfps.TFConfig.from_environment()
    task_type = config.task.type if config else "chief"
    if task_type in ("worker", "ps"):
        before_serving()
        tfps.run(lambda: None)
        return
    try:
        _check_environment(config)
        settings.check()
        train = prepare(settings) if task_type == "chief" else lambda: None
        tfps.run(train, functools.partial(evaluate, settings))
    except InputError as error:
        print(f"{recipe}: {error}", file=sys.stderr)
        sys.exit(2)


def _check_environment(config: tfps.TFConfig | None) -> None:
    runs = os.environ.get(RUNS_VARIABLE, "")
    if "://" in runs:
        raise InputError(
            f"{RUNS_VARIABLE} is {runs!r}, but a recipe needs a folder: mount the bucket, and "
            "give the path (on Vertex AI, gs://mine is mounted at /gcs/mine)."
        )
    if config and config.task.type == "evaluator" and config.task.index > 0:
        raise InputError(f"{config.task} has nothing to do: one evaluator does all there is.")


def side_car(settings: RunSettings, model: keras.Model, held_out: Any) -> tfps.SidecarEvaluator:
    """Return an evaluator that scores each epoch of a run on held-out data and keeps the best.

    Args:
        settings: Settings of the run.
        model: A compiled model like the one that is trained, built without a strategy.
        held_out: The held-out data.
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
    """Claim the run's folder, and return the function that starts or resumes the training.

    Args:
        settings: Settings of the run.
        data: Data of the run.
        train: Trains from the last checkpoint on, if there is one, and calls `finish` at the end.

    Raises:
        InputError: The folder belongs to another run, or is damaged.
    """
    introduce(settings, data)
    folder = claim(settings, data)
    return train_or_report(
        settings,
        folder,
        functools.partial(train, settings, data, folder),
        last_file=folder.result_file,
        summary=_summary,
    )


def finish(folder: RunFolder, result: str) -> None:
    """Save and print the result of a run."""
    folder.save(folder.result_file.name, f"{result}\n")
    print(_summary(folder), flush=True)


def _summary(folder: RunFolder) -> str:
    return folder.result_file.read_text() + folder.contents()


def introduce(settings: RunSettings, data: Data) -> None:
    """Print a description of the data; with --check-only, end the process instead."""
    if settings.check_only:
        sys.exit(0)
    print(data, flush=True)


def claim(
    settings: RunSettings, data: Data, packages: Sequence[str] = (), **digests: str
) -> RunFolder:
    """Create the run's folder, or check that it belongs to a run that these settings resume.

    Args:
        settings: Settings of the run.
        data: Data of the run.
        packages: Packages whose versions config.json records, beside Keras and TensorFlow.
        digests: Hashes of other inputs that must be equal for the run to resume.

    Raises:
        InputError: The folder belongs to another run, or is damaged.
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


def train_or_report(
    settings: RunSettings,
    folder: RunFolder,
    train: Callable[[], None],
    *,
    last_file: Path,
    summary: Callable[[RunFolder], str],
) -> Callable[[], None]:
    """Return `train`, or a function that prints the result if the run is finished.

    Args:
        settings: Settings of the run.
        folder: The run's folder, already claimed.
        train: Trains from the last checkpoint on, if there is one.
        last_file: The file that `train` writes last: a run with all epochs and this file is
            finished.
        summary: Describes the result of a finished run.

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
