"""Placement by bytes."""

from __future__ import annotations

from tfps.params.placement import NEGLIGIBLE_BYTES, ByteBalance, ps_device


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
