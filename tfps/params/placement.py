"""Placement: into how many shards a variable is split, and on which ps each of them lies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

CHIEF_DEVICE = "/job:chief/replica:0/task:0/device:CPU:0"
"""The device of metric state, and of the results of workers."""

PS_DEVICES = "/job:ps/"
"""The beginning of the name of each ps' device."""

NEGLIGIBLE_BYTES = 1 << 16
"""It is faster to send these bytes to a ps than to send a step's messages to one more ps."""

Partitioner = Callable[..., Sequence[int]]
"""Returns the number of shards along each axis, for a `shape`, a `dtype` and an `axis`."""


def ps_device(ps: int) -> str:
    """Return the device on which a ps holds and updates its variables."""
    return f"/job:ps/replica:0/task:{ps}/device:CPU:0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoPartitioner:
    """Splits a large variable over as many ps as its size is worth, along its first axis.

    A variable of at least `2 * min_shard_bytes` is split into shards of at least `min_shard_bytes`,
    but not into more shards than there are ps. Smaller variables stay whole: another shard costs a
    slice and an op in each step, and gains nothing once the bytes are balanced.

    TensorFlow's partitioners (`tf.distribute.experimental.partitioners`) can be used as well. They
    need to be given the number of ps; this one learns it from the strategy.

    Attributes:
        min_shard_bytes: the smallest size of a shard, in bytes.
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


def checking_first_axis(partitioner: Partitioner) -> Partitioner:
    """Return a partitioner that raises ValueError if `partitioner` splits another axis."""

    def partitions(shape: Any, dtype: Any, axis: int = 0) -> list[int]:
        counts = [int(count) for count in partitioner(shape=shape, dtype=dtype, axis=axis)]
        if any(count != 1 for count in counts[1:]):
            raise ValueError(
                f"The variable_partitioner splits a variable of shape {tuple(shape)} into {counts} "
                "parts along its axes; only the first axis can be split. Let it return 1 for all "
                "others."
            )
        return counts

    return partitions


class ByteBalance:
    """Places each new variable on a ps that holds few bytes.

    A small model lies on one ps, so that a step sends no messages to the others. TensorFlow's own
    strategy places variables round-robin: kernels and biases alternate, so that with two ps all
    kernels lie on one of them.
    """

    def __init__(self, num_ps: int) -> None:
        """Start with empty ps."""
        self._bytes = [0] * num_ps

    @property
    def bytes_per_ps(self) -> tuple[int, ...]:
        """The bytes of the variables on each ps."""
        return tuple(self._bytes)

    def choose(self, *, is_shard: bool = False) -> int:
        """Return the index of the ps for a new variable.

        It is the first ps that holds at most `NEGLIGIBLE_BYTES` more than the one that holds the
        least. For a shard it is the first of those that hold the least, since a variable is split
        so that its shards lie on different ps.
        """
        most = min(self._bytes) + (0 if is_shard else NEGLIGIBLE_BYTES)
        return next(ps for ps, held in enumerate(self._bytes) if held <= most)

    def add(self, ps: int, num_bytes: int) -> None:
        """Record that a variable of `num_bytes` now lies on `ps`."""
        self._bytes[ps] += num_bytes

    def remove(self, ps: int, num_bytes: int) -> None:
        """Record that a variable of `num_bytes` on `ps` is gone."""
        self._bytes[ps] -= num_bytes
