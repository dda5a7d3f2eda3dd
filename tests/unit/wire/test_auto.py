"""What `Auto` picks from what was measured."""

from __future__ import annotations

import dataclasses

import pytest

from tfps import wire
from tfps.wire.auto import StepProfile, choose_bucket_bytes, choose_pull, choose_push


def profile(rate: float, compute_s: float = 0.1) -> StepProfile:
    return StepProfile(
        compute_s=compute_s,
        pull_bytes=13_000_000,
        push_bytes=13_000_000,
        pull_bytes_per_s=rate,
        push_bytes_per_s=rate,
    )


@pytest.mark.parametrize(
    ("rate", "overlap", "pull"),
    [
        (1e12, False, wire.Identity()),
        (2e9, False, wire.Cast()),
        (1e9, False, wire.Int8()),
        (2.61e8, True, wire.Identity()),
        (2.59e8, True, wire.Cast()),
        (1e8, True, wire.Int8()),
        (1e3, True, wire.Int8()),
    ],
)
def test_the_pull_is_the_least_lossy_that_fits(
    rate: float, overlap: bool, pull: wire.Codec
) -> None:
    assert choose_pull(profile(rate), overlap=overlap).codec == pull


def test_a_slow_link_gets_signs_after_a_warm_up() -> None:
    fast, slow = profile(1e12), profile(1.25e7)
    assert choose_push(fast, overlap=True).codec == wire.Identity()
    signs = choose_push(slow, overlap=True).codec
    kernel = wire.Parameter.of("dense/kernel", (512, 512))
    assert signs.for_parameter(kernel) == wire.ErrorFeedback(wire.Int8())
    assert signs.for_parameter(kernel, signs.boundaries[-1]) == wire.ErrorFeedback(wire.OneBit(128))
    assert signs.for_parameter(dataclasses.replace(kernel, rows=True)) == wire.Int8()


def test_the_reason_has_the_figures() -> None:
    reason = choose_pull(profile(1e8), overlap=True).reason
    assert "13 MB take 130 ms at 100 MB/s" in reason
    assert "32.5 ms in this codec, which is within half of it" in reason
    assert "is the least there is, and above" in choose_pull(profile(1e3), overlap=True).reason
    assert "5% of it" in choose_pull(profile(1e3), overlap=False).reason


@pytest.mark.parametrize(
    ("seconds", "bucket_bytes"), [(0.001, None), (0.039, None), (0.04, 3_250_000), (9.0, 541_667)]
)
def test_messages_are_long_enough_to_be_worth_their_cost(
    seconds: float, bucket_bytes: int | None
) -> None:
    assert choose_bucket_bytes(profile(1e8), seconds, num_ps=2) == bucket_bytes
