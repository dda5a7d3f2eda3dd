"""Into how many shards AutoPartitioner splits."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfps.params.partition import AutoPartitioner


@pytest.mark.parametrize(
    ("shape", "num_ps", "expected"),
    [
        ([4096, 256], 2, [2, 1]),  # 4 MiB: a shard each
        ([4096, 256], 16, [4, 1]),  # no shard below 1 MiB
        ([2047, 128], 2, [1, 1]),  # just under 1 MiB
        ([4096, 127], 2, [1, 1]),  # under 2 MiB, so no two shards of 1 MiB
        ([3, 1 << 20], 8, [3, 1]),  # no more shards than rows
        ([1 << 20], 2, [2]),
        ([7, 1, 1], 2, [1, 1, 1]),
    ],
)
def test_shards_follow_bytes_rows_and_ps(
    shape: list[int], num_ps: int, expected: list[int]
) -> None:
    partitions = AutoPartitioner().for_ps(num_ps)
    assert partitions(shape=tf.TensorShape(shape), dtype=tf.float32) == expected


def test_the_dtype_counts() -> None:
    partitions = AutoPartitioner(min_shard_bytes=8).for_ps(4)
    assert partitions(shape=tf.TensorShape([4]), dtype=tf.float32) == [2]
    assert partitions(shape=tf.TensorShape([4]), dtype=tf.float64) == [4]
    assert partitions(shape=tf.TensorShape([4]), dtype=tf.int8) == [1]


def test_a_shard_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="min_shard_bytes is 0; give at least 1"):
        AutoPartitioner(min_shard_bytes=0)
