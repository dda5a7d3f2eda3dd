"""What policies refuse, and by which optimizer the ps apply what local copies have moved."""

from __future__ import annotations

from collections.abc import Callable

import keras
import pytest

from tfps.update import (
    Asynchronous,
    BoundedStaleness,
    DenseAndRows,
    ElasticAveraging,
    Local,
    SemiSynchronous,
    Synchronous,
    inverse_staleness,
)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Asynchronous(max_staleness=-1), "max_staleness=-1: give 0 or more, or None"),
        (lambda: Asynchronous(above="hold"), "above='hold': give 'drop' or 'wait'"),
        (lambda: Asynchronous(rate_scale="slow"), "rate_scale='slow': give a function"),
        (
            lambda: Asynchronous(4, rate_scale=inverse_staleness),
            'not applied where stale gradients are dropped. Give above="wait"',
        ),
        (lambda: Synchronous(backup_workers=-1), "backup_workers=-1: give 0 or more"),
        (lambda: Synchronous(patience_s=0), "patience_s=0: give a number of seconds above 0"),
        (lambda: Synchronous(backup_workers=2).check_cluster(2), "2 workers, .* Give 1 or less"),
        (lambda: SemiSynchronous(quorum=0), "quorum=0: give 1 or more, or None"),
        (lambda: BoundedStaleness(-1), "steps=-1: give 0 or more"),
        (lambda: Local(0), "steps=0: give 1 or more"),
        (lambda: ElasticAveraging(1.5), "moving_rate=1.5: give a number above 0, and 1"),
        (lambda: Local(2, update=BoundedStaleness(1)), "Local.update=BoundedStaleness"),
        (lambda: Local(2, update=Local(2)), "between windows of its own steps"),
        (lambda: DenseAndRows(dense=Local(2)), r"DenseAndRows\(dense=Local"),
        (lambda: DenseAndRows(rows=BoundedStaleness(1)), r"\(rows=BoundedStaleness"),
    ],
)
def test_what_is_not_allowed_is_said(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "rate"),
    [
        (lambda: Local(4), 1.0),
        (lambda: Local(4, update=Asynchronous()), 0.25),
        (lambda: Local(4, update=Synchronous(backup_workers=1)), 1.0),
        (lambda: Local(4, update=SemiSynchronous(quorum=1)), 0.25),
        (lambda: Local(4, update=SemiSynchronous(quorum=2)), 0.5),
        (lambda: Local(4, update=SemiSynchronous()), 1.0),
        (lambda: Local(4, update=SemiSynchronous(quorum=8)), 1.0),
        (lambda: Local(4, keras.optimizers.SGD(0.7, momentum=0.9)), 0.7),
        (lambda: Local(4, ElasticAveraging(0.8)), 4.0),
        (lambda: Local(4, ElasticAveraging(0.8), Asynchronous()), 1.0),
        (lambda: Local(4, ElasticAveraging(0.8), SemiSynchronous(quorum=2)), 2.0),
    ],
)
def test_differences_take_effect_by_an_outer_optimizer(
    make: Callable[[], Local], rate: float
) -> None:
    local = make()
    outer, window = local.make_outer(4), local.window(4)
    assert float(outer.learning_rate) == pytest.approx(rate)
    assert outer is not local.make_outer(4)
    assert window is not None
    assert window.keeps_copy == isinstance(local.outer, ElasticAveraging)
    assert window.pushed_share == pytest.approx(0.2 if window.keeps_copy else 1.0)


def test_a_policy_takes_its_main_number_by_position() -> None:
    assert Asynchronous(1) == Asynchronous(max_staleness=1)
    assert Synchronous(1) == Synchronous(backup_workers=1)
    assert SemiSynchronous(3) == SemiSynchronous(quorum=3)
    with pytest.raises(TypeError, match="positional"):
        Asynchronous(1, "wait")  # type: ignore[misc]
