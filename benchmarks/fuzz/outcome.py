"""What became of a case."""

from __future__ import annotations

import dataclasses

_FAULTLESS = frozenset({"equal", "rounding", "refused", "invalid"})


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        kind: "equal", "rounding" (see `compare.outcome_of`), "refused", "invalid" (plain Keras
            raises, too), or the kind of the fault.
        detail: what differs, and by how much; or the error.
    """

    kind: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether tfps is wrong."""
        return self.kind not in _FAULTLESS
