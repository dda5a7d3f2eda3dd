"""What an update policy says: when gradients take effect, and when a step may start."""

from __future__ import annotations

import abc

from tfps.step.settings import Timing


def check_patience(patience_s: float) -> None:
    """Raise ValueError if it is no time to wait for."""
    if not patience_s > 0:
        raise ValueError(f"patience_s={patience_s!r}: give a number of seconds above 0.")


class Policy(abc.ABC):
    """When updates take effect; it is given to the strategy as `update`."""

    @abc.abstractmethod
    def timing(self, num_workers: int) -> Timing:
        """Return what it means on a cluster of so many workers.

        Raises:
            ValueError: if it means nothing there.
        """
