"""Which of the checkpoints that were found are to be evaluated next. Pure: it opens no file."""

from __future__ import annotations

from collections.abc import Iterable

from tfps.evaluator.checkpoints import Checkpoint

TRIES = 3


class Watch:
    """Remembers what was found, and what is done with it.

    A checkpoint is ready when two looks in a row have found the same: until then it may still be
    being written.
    """

    def __init__(self, done: Iterable[Checkpoint] = (), *, skip_to_newest: bool = False) -> None:
        """Begin with what was done before.

        Args:
            done: It does not come again.
            skip_to_newest: Whether what is older than something that is ready or done is passed
                over.
        """
        self._done = set(done)
        self._skip_to_newest = skip_to_newest
        self._found: frozenset[Checkpoint] = frozenset()
        self._tries: dict[Checkpoint, int] = {}

    def look(self, found: Iterable[Checkpoint]) -> Checkpoint | None:
        """Take note of what there is now; return the oldest that is ready and not done."""
        before, self._found = self._found, frozenset(found)
        ready = (self._found & before) - self._done
        if self._skip_to_newest and ready:
            newest = max(ready | self._done, key=lambda checkpoint: checkpoint.order)
            self._done |= ready - {newest}
            ready &= {newest} - self._done
        return min(ready, key=lambda checkpoint: checkpoint.order, default=None)

    @property
    def is_done(self) -> bool:
        """Whether everything that the last look found is done."""
        return self._found <= self._done

    def finish(self, checkpoint: Checkpoint) -> None:
        """Take note that there is nothing more to do with a checkpoint."""
        self._done.add(checkpoint)

    def failed(self, checkpoint: Checkpoint) -> bool:
        """Take note of a failed try; return whether it was the last one."""
        self._tries[checkpoint] = self._tries.get(checkpoint, 0) + 1
        return self._tries[checkpoint] >= TRIES
