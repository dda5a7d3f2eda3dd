"""What all recipes do before they train: check, claim the run's folder, see what is left to do.

No TensorFlow here: a fault of what the user gave is told at once.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import tfps
from models.errors import InputError
from models.files import write_atomically
from models.run_folder import RunFolder
from models.settings import RunSettings

RUNS = Path("runs")


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
    *,
    before_serving: Callable[[], None] = lambda: None,
) -> None:
    """Check on the chief what the user gave, then train there; serve on the other tasks.

    Args:
        recipe: The recipe's name, which its error messages begin with.
        settings: What the user gave.
        prepare: Reads the data and claims the run's folder, without TensorFlow, and returns what
            is left to do. An InputError ends the process with code 2.
        before_serving: Called on a worker or ps; imports what the data's ops need there.
    """
    config = tfps.TFConfig.from_environment()
    if config is not None and config.task.type != "chief":
        before_serving()
        tfps.run(lambda: None)
        return
    try:
        settings.check()
        left_to_do = prepare(settings)
    except InputError as error:
        print(f"{recipe}: {error}", file=sys.stderr)
        sys.exit(2)
    tfps.run(left_to_do)


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
    folder = RunFolder(RUNS / settings.name)
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
