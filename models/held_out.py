"""Which examples are held out: a hash decides, the same on every machine and at every start."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

FRACTION = 0.1


def unit_hash(content: str | bytes) -> float:
    """Hash text or bytes to a number in [0, 1)."""
    content = content.encode() if isinstance(content, str) else content
    return int.from_bytes(hashlib.sha256(content).digest()[:6]) / 2**48


def held_out(examples: Sequence[str | bytes], fraction: float = FRACTION) -> np.ndarray:
    """Choose the examples to hold out.

    Equal examples fall on the same side, so that none is both trained on and held out, and an
    example stays on its side when others come.

    Args:
        examples: Each example's content, at least one.
        fraction: How much to hold out, about; at least one example, whatever the hashes.

    Returns:
        `(examples,)` bool, true for those that are held out.
    """
    hashes = np.array([unit_hash(example) for example in examples])
    return hashes <= max(fraction, hashes.min())
