"""The errors that tfps raises, each under the builtin that fits it."""

from __future__ import annotations

from collections.abc import Iterable


class TFConfigError(ValueError):
    """TF_CONFIG has faults; the message lists all of them, one per line.

    Attributes:
        faults: Each fault as a sentence that names the entry, what is allowed and what to do.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        """Make the error from every fault that was found."""
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__("\n".join(f"TF_CONFIG: {fault}" for fault in self.faults))


class ClusterTimeoutError(TimeoutError):
    """Tasks of the cluster did not answer in the time they were given."""


class EmbeddedClusterError(ValueError):
    """The process's embedded cluster cannot have the size that was asked for."""


class TaskTypeError(ValueError):
    """A task of this type cannot do what it was asked to do."""


class ServerStartError(OSError):
    """The server of a task could not start."""
