"""What "auto" picks from what was measured."""

from __future__ import annotations

import dataclasses

import pytest

from tfps import wire
from tfps.wire.auto import Measured, choose_pull, choose_push


def measured(rate: float, compute_s: float = 0.1) -> Measured:
    return Measured(
        compute_s=compute_s,
        pull_bytes=13_000_000,
        push_bytes=13_000_000,
        pull_bytes_per_s=rate,
        push_bytes_per_s=rate,
    )


@pytest.mark.parametrize(
    ("rate", "overlap", "pull"),
    [
        (1e12, 0, wire.Identity()),
        (2e9, 0, wire.Cast()),
        (1e9, 0, wire.Int8()),
        (2.61e8, 1, wire.Identity()),
        (2.59e8, 1, wire.Cast()),
        (1.31e8, 2, wire.Identity()),
        (1.29e8, 2, wire.Cast()),
        (6e7, 2, wire.Int8()),
        (1e3, 2, wire.Int8()),
    ],
)
def test_the_pull_is_the_least_lossy_that_fits(rate: float, overlap: int, pull: wire.Codec) -> None:
    assert choose_pull(measured(rate), overlap=overlap).codec == pull


def test_a_slow_link_gets_signs_after_a_warm_up() -> None:
    fast, slow = measured(1e12), measured(1.25e7)
    assert choose_push(fast, overlap=2).codec == wire.Identity()
    signs = choose_push(slow, overlap=2).codec
    kernel = wire.Parameter.of("dense/kernel", (512, 512))
    assert signs.for_parameter(kernel) == wire.ErrorFeedback(wire.Int8())
    assert signs.for_parameter(kernel, signs.boundaries[-1]) == wire.ErrorFeedback(wire.OneBit(128))
    assert signs.for_parameter(dataclasses.replace(kernel, rows=True)) == wire.Int8()


def test_the_reason_has_the_figures() -> None:
    reason = choose_pull(measured(5e7), overlap=2).reason
    assert "13 MB take 260 ms at 50 MB/s" in reason
    assert "65 ms in this codec, which is within the time that it computes" in reason
    assert "is the least there is, and above" in choose_pull(measured(1e3), overlap=2).reason
    assert "5% of it" in choose_pull(measured(1e3), overlap=0).reason
