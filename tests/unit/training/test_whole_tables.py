"""Which variables are named before training, as moved or updated whole."""

from __future__ import annotations

import types
from typing import Any

import keras
import pytest

from tfps.params.variable_map import VariableMap
from tfps.training import whole_tables
from tfps.training.whole_tables import describe_whole_tables


def variable(*shape: int, name: str) -> keras.Variable:
    return keras.Variable(keras.ops.zeros(shape), name=name)


def lines(whole: list[keras.Variable], looked_up: list[keras.Variable], trained: Any) -> list[str]:
    demand: Any = types.SimpleNamespace(
        whole=whole,
        looked_up_whole=VariableMap((v, "why, and what to do.") for v in looked_up),
        applied=[types.SimpleNamespace(variables=trained)],
    )
    return list(describe_whole_tables(demand))


def test_large_tables_are_named_and_what_is_dense_small_or_frozen_is_not() -> None:
    table, small, frozen = (variable(512, n, name="t") for n in (512, 4, 512))
    dense = variable(2048, 2048, name="kernel")
    (line,) = lines([table, small, frozen, dense], [table, small, frozen], [table, small, dense])
    assert line == (
        "each step pulls and pushes all of 't', 1.0 MB each way before coding: why, and what to do."
    )


def test_what_is_very_large_is_named_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = variable(64, 64, name="kernel")
    assert not lines([dense], [], [dense])
    monkeypatch.setattr(whole_tables, "_LARGE_BYTES", 64 * 64 * 4)
    (line,) = lines([dense], [], [dense])
    assert "all of 'kernel'" in line
    assert "it is large" in line
