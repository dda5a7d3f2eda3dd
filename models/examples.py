"""Examples as a pair of arrays, of which some are held out. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

from models.held_out import held_out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """What to learn, y, from what is given, x.

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
        """Which examples are never trained on, `(examples,)` bool."""
        return held_out([x.tobytes() + y.tobytes() for x, y in zip(self.x, self.y, strict=True)])

    @property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """The x and y to train on."""
        return self.x[~self.is_held_out], self.y[~self.is_held_out]

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """The x and y that are never trained on."""
        return self.x[self.is_held_out], self.y[self.is_held_out]

    @property
    def digest(self) -> str:
        """A hash of all x and y."""
        return hashlib.sha256(self.x.tobytes() + self.y.tobytes()).hexdigest()

    def __str__(self) -> str:
        """Say how many there are."""
        count = int(self.is_held_out.sum())
        return f"{self.name}: {len(self.y) - count:,} examples to train on, {count:,} held out"
