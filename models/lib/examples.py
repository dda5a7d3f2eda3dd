"""Examples as a pair of arrays, split into a training and a held-out part. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np

HELD_OUT_FRACTION = 0.1


def unit_hash(content: str | bytes) -> float:
    """Hash text or bytes to a number in [0, 1)."""
    content = content.encode() if isinstance(content, str) else content
    return int.from_bytes(hashlib.sha256(content).digest()[:6]) / 2**48


def held_out(examples: Sequence[str | bytes], fraction: float = HELD_OUT_FRACTION) -> np.ndarray:
    """Choose the examples to hold out, by a hash of each one's content.

    The choice is the same on every machine and in every run. Equal examples are always in the same
    part, and an example stays in its part when others are added.

    Args:
        examples: Each example's content, at least one.
        fraction: Approximate fraction to hold out; at least one example is.

    Returns:
        `(examples,)` bool, true for examples that are held out.
    """
    hashes = np.array([unit_hash(example) for example in examples])
    return hashes <= max(fraction, hashes.min())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs x and targets y.

    Attributes:
        name: Where they come from, for a reader.
        x: `(examples, ...)`.
        y: `(examples,)`.
    """

    name: str
    x: np.ndarray
    y: np.ndarray

    @functools.cached_property
    def is_held_out(self) -> np.ndarray:
        """Which examples are held out, `(examples,)` bool."""
        return held_out([x.tobytes() + y.tobytes() for x, y in zip(self.x, self.y, strict=True)])

    @property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """The x and y of the training part."""
        return self.x[~self.is_held_out], self.y[~self.is_held_out]

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """The x and y of the held-out part."""
        return self.x[self.is_held_out], self.y[self.is_held_out]

    @property
    def digest(self) -> str:
        """A hash of all x and y."""
        return hashlib.sha256(self.x.tobytes() + self.y.tobytes()).hexdigest()

    def __str__(self) -> str:
        """Say how many examples each part has."""
        count = int(self.is_held_out.sum())
        return f"{self.name}: {len(self.y) - count:,} examples to train on, {count:,} held out"
