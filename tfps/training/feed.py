"""Where a run has its batches from: see shares.py and dealt.py."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tfps.training.history import Reading

if TYPE_CHECKING:
    from tfps.training.pool import WorkerPool


class Feed(abc.ABC):
    """The batches of the workers.

    Only the threads of a worker use that worker's part, under its device.

    Attributes:
        element_spec: the type of a batch, the same for all workers.
        reading: the figures of an epoch.
        error: what the chief's reading has raised, after which there is no data; None if nothing.
    """

    element_spec: Any

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.reading = Reading()

    @property
    def may_leave_some(self) -> bool:
        """Whether there may be fewer batches than asked for because a worker has fewer."""
        return False

    @property
    @abc.abstractmethod
    def num_batches(self) -> int | None:
        """The number of batches that all workers read in an epoch; None if it is not known."""

    @abc.abstractmethod
    def check_finite(self) -> None:
        """Raise ValueError if the data is endless."""

    @abc.abstractmethod
    def start_epoch(self) -> None:
        """Have the data read from its start at the next dispatches."""

    def start_run(self, workers: Sequence[int], *, in_step: bool, most_apart: int | None) -> bool:
        """Prepare for a run.

        Args:
            workers: the workers that take part.
            in_step: whether each goes on only after one step of every other.
            most_apart: how far the batches that workers are at may be apart; None is any.

        Returns:
            Whether the workers have to go in step.
        """
        return in_step or most_apart is not None

    def limited(self, steps: int) -> int:
        """Return how many steps a dispatch has that may have `steps` at the most."""
        return steps

    @abc.abstractmethod
    def iterator(self, worker: int, steps: int) -> tuple[Any, int]:
        """Return the iterator of `worker`, and how many of `steps` batches to take from it.

        There may be fewer than that. If there are none, there is nothing left for the worker,
        unless another worker gives something back.
        """

    @abc.abstractmethod
    def first_batch(self, worker: int) -> Any:
        """Return a first batch of an epoch without using it up; None if there is none."""

    @abc.abstractmethod
    def count(self, worker: int, batches: int, *, at_end: bool) -> int:
        """Count batches that `worker` has used.

        Args:
            worker: the worker.
            batches: their number.
            at_end: whether its iterator has ended before it had all batches that were asked for.

        Returns:
            The number of the first of them, in the order of the data. With several, those that
            follow are not known.
        """

    @abc.abstractmethod
    def give_back(self, worker: int) -> None:
        """Let others have what `worker`, which is lost, was given and has not used."""

    @abc.abstractmethod
    def position(self, write: Callable[[Any], None]) -> dict[str, Any]:
        """Return where the data is.

        Args:
            write: saves the state of an iterator that belongs to it, if there is one, while nothing
                is read.

        Returns:
            What `go_to` takes: of what JSON can hold, and bytes. `used` is the number of batches
            since `start_epoch` whose steps have ended.
        """

    @abc.abstractmethod
    def go_to(self, position: dict[str, Any], restore: Callable[[Any], None] | None) -> bool:
        """Go to where the data was; return whether that was possible.

        Args:
            position: what `position` returned.
            restore: restores the state of an iterator; None if it was not saved.
        """

    def on_epoch_begin(self) -> None:  # noqa: B027
        """Prepare for an epoch."""

    def on_epoch_end(self) -> None:  # noqa: B027
        """Clean up after an epoch."""

    @contextlib.contextmanager
    def prefetching(self, workers: WorkerPool) -> Iterator[None]:
        """Send batches ahead to the workers, during the block."""
        yield

    def close(self, workers: WorkerPool) -> None:  # noqa: B027
        """See to it that nothing on the workers still runs."""
