"""How a report words names, sizes, times and rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MOST_NAMES = 8
GIB = 1 << 30


def names(labels: Iterable[object]) -> str:
    """List names, of many only the first ones."""
    return joined([str(label) for label in labels], ", ")


def joined(parts: Sequence[str], separator: str = "; ") -> str:
    """Join parts of a sentence, of many only the first ones."""
    left = len(parts) - _MOST_NAMES
    if left <= 1:
        return separator.join(parts)
    return f"{separator.join(parts[:_MOST_NAMES])} and {left} more"


def printable(text: str) -> str:
    """Return text without what a terminal would obey: others may have sent it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def gib(size_bytes: float) -> str:
    """Return a size in GiB."""
    value = size_bytes / GIB
    return f"{value:.1f} GiB" if value < 10 else f"{value:,.0f} GiB"


def rate(bytes_per_s: float) -> str:
    """Return a rate in the units in which links are sold."""
    mbit = 8e-6 * bytes_per_s
    if mbit < 1000:
        return f"{mbit:.3g} Mbit/s" if mbit < 100 else f"{mbit:.0f} Mbit/s"
    return f"{mbit / 1000:.3g} Gbit/s"


def short_time(time_s: float) -> str:
    """Return a time that is hopefully short, in milliseconds."""
    return f"{time_s * 1e3:.2f} ms" if time_s < 0.01 else f"{time_s * 1e3:.0f} ms"


def offset(time_s: float) -> str:
    """Return by how much a clock is ahead or, with a minus, behind."""
    if abs(time_s) < 5e-4:
        return "0.000 s"
    return f"{time_s:+.3f} s" if abs(time_s) < 10 else f"{time_s:+,.0f} s"
