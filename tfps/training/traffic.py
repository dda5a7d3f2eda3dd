"""The bytes that an epoch's steps moved."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes of an epoch's training steps, for each ps; `history.traffic` has one for each epoch.

    What evaluation reads is not counted, nor what the chief exchanges with the workers, nor gRPC's
    own headers.

    Attributes:
        pull_bytes: what the ps sent to the workers.
        push_bytes: what it received from them, the ids of the rows they ask for included.
        uncoded_pull_bytes: what `pull_bytes` would have been without a codec.
        uncoded_push_bytes: what `push_bytes` would have been without a codec.
    """

    pull_bytes: tuple[int, ...]
    push_bytes: tuple[int, ...]
    uncoded_pull_bytes: tuple[int, ...]
    uncoded_push_bytes: tuple[int, ...]

    @classmethod
    def of(cls, counted: np.ndarray) -> Traffic:
        """Read what `WorkerProgram` counts: int64, of shape `(num_ps, 2, 2)`."""
        return cls(
            pull_bytes=tuple(counted[:, 0, 1].tolist()),
            push_bytes=tuple(counted[:, 1, 1].tolist()),
            uncoded_pull_bytes=tuple(counted[:, 0, 0].tolist()),
            uncoded_push_bytes=tuple(counted[:, 1, 0].tolist()),
        )

    @property
    def totals(self) -> dict[str, int]:
        """The sums over all ps, by name."""
        return {name: sum(per_ps) for name, per_ps in dataclasses.asdict(self).items()}

    def log(self, epoch: int) -> None:
        """Write a line for each direction to Python's logs, at level INFO."""
        for name in ("pull_bytes", "push_bytes"):
            coded, before = self.totals[name], self.totals[f"uncoded_{name}"]
            per_ps = ", ".join(f"{count / 1e6:.3f}" for count in getattr(self, name))
            _logger.info(
                f"epoch {epoch + 1}: {name} {coded / 1e6:.3f} MB, {before / 1e6:.3f} MB before "
                f"coding; of each ps {per_ps}"
            )
