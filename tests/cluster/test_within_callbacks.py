"""Callbacks that evaluate, predict and train, in the middle of runs; and predict's callbacks."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import tfps
from tests.cluster.conftest import MakeStrategy

pytestmark = pytest.mark.timeout(120)

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = X.sum(1, keepdims=True)
KINDS = [f"on_{mode}_{at}" for mode in ("train", "test", "predict") for at in ("begin", "end")]
KINDS += [kind.replace("_begin", "_batch_begin").replace("_end", "_batch_end") for kind in KINDS]
KINDS += ["on_epoch_begin", "on_epoch_end"]


def each_callback(act: Callable[[keras.Model], None]) -> tuple[Any, collections.Counter[str]]:
    """Return a callback that calls `act` the first two times of each kind, and the counts."""
    count: collections.Counter[str] = collections.Counter()
    callback = keras.callbacks.Callback()

    def called(kind: str, *_: Any, **__: Any) -> None:
        count[kind] += 1
        if count[kind] <= 2:
            act(callback.model)

    for kind in KINDS:
        setattr(callback, kind, functools.partial(called, kind))
    return callback, count


@pytest.mark.parametrize(
    "update",
    [
        None,
        pytest.param(tfps.update.Synchronous(), marks=pytest.mark.slow),
        pytest.param(tfps.update.BoundedStaleness(1), marks=pytest.mark.slow),
    ],
    ids=["default", "Synchronous", "BoundedStaleness"],
)
def test_every_callback_may_evaluate_and_predict(make_strategy: MakeStrategy, update: Any) -> None:
    with make_strategy(update=update).scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", steps_per_execution=2)
    inner, _ = each_callback(lambda model: model.predict(X[:8], batch_size=4, verbose=0))

    def act(model: keras.Model) -> None:
        before = model.get_weights()[0]
        model.evaluate(X, Y, batch_size=6, verbose=0, callbacks=[inner])
        model.predict(X, batch_size=6, verbose=0)
        model.test_on_batch(X, Y)
        assert np.isfinite(before).all()

    outer, count = each_callback(act)
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[outer], validation_data=(X, Y))
    model.predict(X, batch_size=4, verbose=0, callbacks=[outer])
    assert set(count) == set(KINDS)
    synchronous = isinstance(update, tfps.update.Synchronous)
    assert int(model.optimizer.iterations.numpy()) == (3 if synchronous else 6)


def test_a_callback_may_train_another_model(strategy: tfps.ParameterServerStrategy) -> None:
    def make() -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    with strategy.scope():
        model, other = make(), make()

    class Trains(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            other.train_on_batch(X, Y)
            other.fit(X, Y, verbose=0)

    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[Trains()])
    assert [int(m.optimizer.iterations.numpy()) for m in (model, other)] == [3, 6]


@pytest.mark.parametrize(
    "update",
    [
        tfps.update.Synchronous(),
        pytest.param(tfps.update.BoundedStaleness(1), marks=pytest.mark.slow),
        pytest.param(tfps.update.Asynchronous(1, above="wait"), marks=pytest.mark.slow),
        pytest.param(tfps.update.SemiSynchronous(1), marks=pytest.mark.slow),
        pytest.param(tfps.update.Local(2), marks=pytest.mark.slow),
        pytest.param(tfps.update.DenseAndRows(), marks=pytest.mark.slow),
    ],
)
def test_a_callback_may_train_the_model_that_is_being_trained(
    make_strategy: MakeStrategy, update: Any
) -> None:
    with make_strategy(update=update).scope():
        kernel = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((1,)), kernel])
        model.compile(keras.optimizers.SGD(1.0), lambda y, out: -out)  # a gradient of -1
    ones = np.ones((8, 1), "float32")
    steps = collections.Counter[str]()

    class Trains(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            steps["outer"] += 1
            if steps["outer"] <= 2:
                before = kernel.kernel.numpy().item()
                model.train_on_batch(ones, ones)
                model.fit(ones, ones, batch_size=8, epochs=2, verbose=0)
                steps["inner"] += round(kernel.kernel.numpy().item() - before)

    model.fit(ones, ones, batch_size=1, verbose=0, callbacks=[Trains()])
    # Another worker's step may end meanwhile, and the mean of two steps is one update.
    assert 6 <= steps["inner"] <= 6 + 2
    assert 6 + 4 <= kernel.kernel.numpy().item() <= 6 + 8


@pytest.mark.parametrize("together", [1, 3])
def test_predict_shows_its_batches_in_order(
    strategy: tfps.ParameterServerStrategy, together: int
) -> None:
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
        model.compile(steps_per_execution=together)
    seen: list[Any] = []

    class Notes(keras.callbacks.Callback):
        def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen.append(batch)

        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append((batch, np.asarray(logs["outputs"]).ravel().tolist()))

    x = np.arange(8.0, dtype="float32")[:, None]
    model.predict(x, batch_size=1, verbose=0, callbacks=[Notes()])
    expected: list[Any] = []
    for first in range(0, 8, together):
        last = first + together - 1
        expected += [first, (last, x[first : last + 1].ravel().tolist())]
    assert seen == expected


def test_random_layers_draw_anew_in_each_predicted_batch(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    class AlwaysDrops(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.seed = keras.random.SeedGenerator(3)

        def call(self, x: Any) -> Any:
            return keras.random.dropout(x, 0.5, seed=self.seed)

    with strategy.scope():
        model = keras.Sequential([keras.Input((64,)), AlwaysDrops()])
    ones = np.ones((4, 64), "float32")
    drawn = [*model.predict(ones, batch_size=1, verbose=0), *model.predict_on_batch(ones[:1])]
    assert len({row.tobytes() for row in drawn}) == 5
