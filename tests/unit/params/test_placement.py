"""Into how many shards AutoPartitioner splits, and on which ps variables are placed."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfps.params.placement import NEGLIGIBLE_BYTES, AutoPartitioner, ByteBalance, ps_device


def place(sizes: list[int], num_ps: int, *, are_shards: bool = False) -> tuple[int, ...]:
    balance = ByteBalance(num_ps)
    for size in sizes:
        balance.add(balance.choose(is_shard=are_shards), size)
    return balance.bytes_per_ps


def test_kernels_and_biases_in_turn_do_not_pile_up_on_one_ps() -> None:
    first, second = place([262144, 1024] * 12, num_ps=2)
    assert abs(first - second) <= 262144
    assert min(first, second) > 0.9 * max(first, second)


def test_what_is_small_lies_on_one_ps() -> None:
    assert place([4] * 100, num_ps=4) == (400, 0, 0, 0)
    first, second = place([1000] * 1000, num_ps=2)
    assert 0 <= first - second <= NEGLIGIBLE_BYTES + 1000


def test_shards_lie_apart_however_small() -> None:
    assert place([4, 4, 4], num_ps=4, are_shards=True) == (4, 4, 4, 0)


def test_bytes_of_variables_that_are_gone_do_not_count() -> None:
    balance = ByteBalance(2)
    balance.add(0, 100_000)
    assert balance.choose() == 1
    balance.remove(0, 100_000)
    assert balance.bytes_per_ps == (0, 0)
    assert balance.choose() == 0


def test_one_ps_takes_all() -> None:
    assert place([1, 2, 3], num_ps=1) == (6,)


def test_a_ps_is_named_by_its_cpu() -> None:
    assert ps_device(3) == "/job:ps/replica:0/task:3/device:CPU:0"


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
