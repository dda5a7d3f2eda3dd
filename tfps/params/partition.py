"""Into how many shards a variable is split.

TensorFlow's partitioners (`tf.distribute.experimental.partitioners`) work as they are. They all
need to be told the number of ps; `AutoPartitioner` learns it from the strategy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

Partitioner = Callable[..., Sequence[int]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoPartitioner:
    """Split a variable over as many ps as its size is worth, along the first axis.

    A variable of at least `2 * min_shard_bytes` is split into shards of at least
    `min_shard_bytes`, one per ps at the most. What is smaller stays whole: one more shard costs a
    slice and a kernel launch per step, and gains nothing once the bytes are balanced.

    Attributes:
        min_shard_bytes: the smallest shard that is worth having, in bytes.
    """

    min_shard_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if self.min_shard_bytes < 1:
            raise ValueError(
                f"AutoPartitioner: min_shard_bytes is {self.min_shard_bytes}; give at least 1."
            )

    def for_ps(self, num_ps: int) -> Partitioner:
        """Return the partitioner, in TensorFlow's form, for a cluster of `num_ps` ps."""

        def partitions(shape: Any, dtype: Any, axis: int = 0) -> list[int]:
            del axis  # TensorFlow passes it; only the first axis can be split
            rows = int(shape[0])
            num_bytes = math.prod(int(size) for size in shape) * dtype.size
            shards = min(num_ps, rows, num_bytes // self.min_shard_bytes)
            return [max(1, shards)] + [1] * (len(shape) - 1)

        return partitions


def along_first_axis(partitioner: Partitioner) -> Partitioner:
    """Return the partitioner with a check that it splits the first axis alone."""

    def partitions(shape: Any, dtype: Any, axis: int = 0) -> list[int]:
        found = [int(count) for count in partitioner(shape=shape, dtype=dtype, axis=axis)]
        if any(count != 1 for count in found[1:]):
            raise ValueError(
                f"The variable_partitioner splits a variable of shape {tuple(shape)} into {found} "
                "parts along its axes; only the first axis can be split. Let it return 1 for all "
                "others."
            )
        return found

    return partitions
