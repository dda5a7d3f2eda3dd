"""The errors that tfps raises; each is a subclass of the builtin error that fits it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


class TFConfigError(ValueError):
    """TF_CONFIG has faults; the message lists them all, one per line.

    Attributes:
        faults: Each fault as a sentence that names the entry, what is allowed and what to do.
    """

    def __init__(self, faults: Iterable[str], variable: str = "TF_CONFIG") -> None:
        """Take all faults of an environment variable."""
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__("\n".join(f"{variable}: {fault}" for fault in self.faults))


class ClusterTimeoutError(TimeoutError):
    """Tasks of the cluster did not answer in time."""


class EmbeddedClusterError(ValueError):
    """The process's embedded cluster cannot have the requested size."""


class TaskTypeError(ValueError):
    """A task of this type cannot do what was requested."""


class ServerStartError(OSError):
    """The server of a task could not start."""


KeyPath = tuple[str | int, ...]
"""The keys and list indices that lead to a value, from the top of a file or message."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a job spec, or with other data that was read.

    Attributes:
        path: Where the value is.
        sentence: What is wrong with which value, what is allowed, what to do.
    """

    path: KeyPath
    sentence: str

    @property
    def where(self) -> str:
        """The path as text, e.g. `roles.worker.mounts[0].path`."""
        keys = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return "".join(keys).removeprefix(".")

    def __str__(self) -> str:
        """Return path and sentence, e.g. `roles.worker.replicas: 0 is too few. Give ...`."""
        return f"{self.where}: {self.sentence}" if self.path else self.sentence

    def below(self, *path: str | int) -> Fault:
        """Return the same fault with `path` put before its own path."""
        return Fault((*path, *self.path), self.sentence)


class JobSpecError(ValueError):
    """A job spec has faults, or the requested target cannot run it.

    Attributes:
        faults: All of them.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Take all faults that were found."""
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class LaunchError(RuntimeError):
    """A platform refused a job, cannot be reached, or has no such job."""


class ChiefGoneError(TimeoutError):
    """Nothing has listened at the chief's address for the time that a task waits for it."""


class CheckpointMismatchError(ValueError):
    """A checkpoint holds the weights of a model that differs from the evaluator's."""
