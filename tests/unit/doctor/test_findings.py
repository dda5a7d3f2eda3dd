"""How findings word names and figures."""

from __future__ import annotations

import pytest

from tfps.doctor import findings


def test_of_many_names_only_the_first_are_told() -> None:
    assert findings.names(f"ps {index}" for index in range(9)).endswith("ps 7, ps 8")
    assert findings.names(f"ps {index}" for index in range(40)).endswith("ps 7 and 32 more")


@pytest.mark.parametrize(
    ("bytes_per_s", "text"),
    [
        (1e3, "0.008 Mbit/s"),
        (11.94e6, "95.5 Mbit/s"),
        (119.5e6, "956 Mbit/s"),
        (1.25e8, "1 Gbit/s"),
        (7e9, "56 Gbit/s"),
    ],
)
def test_rates(bytes_per_s: float, text: str) -> None:
    assert findings.rate(bytes_per_s) == text


@pytest.mark.parametrize(
    ("offset_s", "text"),
    [(-0.0001, "0.000 s"), (0.25, "+0.250 s"), (-3.5, "-3.500 s"), (7200.4, "+7,200 s")],
)
def test_offsets(offset_s: float, text: str) -> None:
    assert findings.offset(offset_s) == text


def test_sizes_and_times() -> None:
    assert [findings.gib(size << 29) for size in (1, 5, 4000)] == [
        "0.5 GiB",
        "2.5 GiB",
        "2,000 GiB",
    ]
    assert [findings.milliseconds(time_s) for time_s in (6e-5, 0.0123)] == ["0.06 ms", "12 ms"]
