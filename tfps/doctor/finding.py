"""What a check finds: how bad it is, what is so, and what to do about it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence


class Level(enum.IntEnum):
    """How bad a finding is."""

    OK = 0
    WARN = 1
    RED = 2

    def __str__(self) -> str:
        """Name it as a report does."""
        return self.name.lower()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of a report.

    Attributes:
        check: Which check found it.
        level: How bad it is.
        says: What is so.
        to_do: What to do about it; empty when it is well.
    """

    check: str
    level: Level
    says: str
    to_do: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level among findings."""
    return max((finding.level for finding in findings), default=Level.OK)


def or_well(faults: Sequence[Finding], check: str, says: str) -> Sequence[Finding]:
    """Return the faults of a check, or that all is well when there are none."""
    return faults or [Finding(check=check, level=Level.OK, says=says)]
