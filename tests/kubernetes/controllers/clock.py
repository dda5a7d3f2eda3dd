"""Time in the cluster: it passes faster than real time, so that tests do not wait for back-offs."""

from __future__ import annotations

import time


class Clock:
    """Seconds of the cluster.

    Args:
        pace: Seconds of the cluster in one of ours.
    """

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._marks: dict[tuple[object, ...], float] = {}

    def now(self) -> float:
        """Return the present time in the cluster."""
        return time.monotonic() * self.pace

    def since(self, *mark: object) -> float:
        """Return for how many seconds of the cluster this mark has been asked for."""
        return self.now() - self._marks.setdefault(mark, self.now())
