"""Ids for tables of embeddings."""

from __future__ import annotations

import numpy as np


def distinct(
    rng: np.random.Generator, examples: int, batch: int, length: int, vocabulary: int
) -> np.ndarray:
    """Return ids from 1 on, `(examples, length)`, of which none is twice in a batch.

    Plain Keras updates a row once for each time that a batch has its id; tfps adds the gradients
    first.
    """
    batches = [
        1 + rng.permutation(vocabulary - 1)[: min(batch, examples - first) * length]
        for first in range(0, examples, batch)
    ]
    return np.concatenate(batches).reshape(examples, length).astype("int32")
