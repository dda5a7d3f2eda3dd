"""Placement by bytes."""

from __future__ import annotations

from tfps.params.placement import ByteBalance, ps_device


def place(sizes: list[int], num_ps: int) -> tuple[int, ...]:
    balance = ByteBalance(num_ps)
    for size in sizes:
        balance.add(balance.lightest(), size)
    return balance.bytes_per_ps


def test_kernels_and_biases_in_turn_do_not_pile_up_on_one_ps() -> None:
    first, second = place([262144, 1024] * 12, num_ps=2)
    assert abs(first - second) <= 262144
    assert min(first, second) > 0.9 * max(first, second)


def test_equal_ps_are_taken_in_order() -> None:
    assert place([4, 4, 4], num_ps=4) == (4, 4, 4, 0)


def test_one_ps_takes_all() -> None:
    assert place([1, 2, 3], num_ps=1) == (6,)


def test_a_ps_is_named_by_its_cpu() -> None:
    assert ps_device(3) == "/job:ps/replica:0/task:3/device:CPU:0"
