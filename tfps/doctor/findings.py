"""Findings, the lines of a report, and how they word names, sizes, times and rates."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence

GIB = 1 << 30
_MOST_NAMES = 8


class Level(enum.IntEnum):
    """How bad a finding is."""

    OK = 0
    WARN = 1
    RED = 2

    def __str__(self) -> str:
        """Return the name that a report shows."""
        return self.name.lower()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check, or one of its results.

    Attributes:
        check: Which check it is of.
        level: How bad it is.
        says: What was found.
        to_do: What to do about it; empty if nothing is wrong.
    """

    check: str
    level: Level
    says: str
    to_do: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level among findings."""
    return max((finding.level for finding in findings), default=Level.OK)


def problems_or_ok(problems: Sequence[Finding], check: str, says: str) -> Sequence[Finding]:
    """Return the problems that a check has found or, if there are none, one finding that says so.

    Args:
        problems: What the check has found.
        check: The check's name.
        says: What to report when there are no problems.
    """
    return problems or [Finding(check=check, level=Level.OK, says=says)]


def names(labels: Iterable[object]) -> str:
    """Return a list of names; of many, only the first ones."""
    return joined([str(label) for label in labels], ", ")


def joined(parts: Sequence[str], separator: str = "; ") -> str:
    """Return parts of a sentence joined; of many, only the first ones."""
    omitted = len(parts) - _MOST_NAMES
    if omitted <= 1:
        return separator.join(parts)
    return f"{separator.join(parts[:_MOST_NAMES])} and {omitted} more"


def printable(text: str) -> str:
    """Return text without control characters, which other tasks could send to the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def gib(size_bytes: float) -> str:
    """Return a size in GiB."""
    value = size_bytes / GIB
    return f"{value:.1f} GiB" if value < 10 else f"{value:,.0f} GiB"


def rate(bytes_per_s: float) -> str:
    """Return a rate in bits per second, the unit in which links are sold."""
    mbit = 8e-6 * bytes_per_s
    if mbit < 1000:
        return f"{mbit:.3g} Mbit/s" if mbit < 100 else f"{mbit:.0f} Mbit/s"
    return f"{mbit / 1000:.3g} Gbit/s"


def milliseconds(time_s: float) -> str:
    """Return a time in milliseconds."""
    return f"{time_s * 1e3:.2f} ms" if time_s < 0.01 else f"{time_s * 1e3:.0f} ms"


def offset(time_s: float) -> str:
    """Return how far a clock is ahead or, with a minus, behind."""
    if abs(time_s) < 5e-4:
        return "0.000 s"
    return f"{time_s:+.3f} s" if abs(time_s) < 10 else f"{time_s:+,.0f} s"
