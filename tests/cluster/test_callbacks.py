"""Callbacks on the chief: what they see, and what they can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import tfps

pytestmark = pytest.mark.timeout(60)

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X[:, :1]
STEPS = 10


@pytest.fixture
def model(strategy: tfps.ParameterServerStrategy) -> keras.Model:
    with strategy.scope():
        made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        made.compile(keras.optimizers.SGD(0.05), "mse", steps_per_execution=2)
    return made


class Notes(keras.callbacks.Callback):
    """Notes each call, and calls `at` at the end of each training dispatch."""

    def __init__(self, at: Callable[[keras.Model, int], None] = lambda model, step: None) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []
        self.at = at

    def on_train_begin(self, logs: Any = None) -> None:
        self.calls.append(("train begin", logs))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("epoch begin", epoch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("batch", (batch, logs)))
        self.at(self.model, batch)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("test batch", (batch, logs)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("epoch end", logs))

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append(("train end", logs))

    def of(self, kind: str) -> list[Any]:
        return [value for name, value in self.calls if name == kind]


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, **arguments: Any) -> Any:
    return model.fit(
        X, Y, batch_size=4, callbacks=list(callbacks), verbose=0, **{"epochs": 3, **arguments}
    ).history


def test_each_callback_fires_as_in_keras_with_plain_floats(model: keras.Model) -> None:
    notes = Notes()
    history = fit(model, notes, validation_data=(X, Y), epochs=2)
    assert [name for name, _ in notes.calls if "batch" not in name] == [
        "train begin",
        *["epoch begin", "epoch end"] * 2,
        "train end",
    ]
    for batch, logs in notes.of("batch") + notes.of("test batch"):
        assert batch < STEPS
        assert {type(value) for value in logs.values()} == {float}
    assert [batch for batch, _ in notes.of("batch")].count(STEPS - 1) == 2
    for logs in notes.of("epoch end"):
        assert set(logs) == {"loss", "val_loss"}
    assert history["loss"] == [logs["loss"] for logs in notes.of("epoch end")]


def test_stop_training_in_a_dispatch_ends_the_epoch_and_leaves_nothing_running(
    model: keras.Model,
) -> None:
    notes = Notes(at=lambda model, step: setattr(model, "stop_training", True))
    fit(model, notes)
    ran = int(model.optimizer.iterations.numpy())
    assert len(notes.of("batch")) == len(notes.of("epoch end")) == len(notes.of("train end")) == 1
    assert 2 <= ran <= STEPS
    fit(model, epochs=1)
    assert int(model.optimizer.iterations.numpy()) == ran + STEPS


@pytest.mark.parametrize("error", [RuntimeError("no disk"), KeyboardInterrupt()], ids=repr)
def test_an_error_in_a_callback_reaches_the_caller_and_leaves_nothing_running(
    model: keras.Model, error: BaseException
) -> None:
    def fail(model: keras.Model, step: int) -> None:
        raise error

    with pytest.raises(type(error)):
        fit(model, Notes(at=fail))
    ran = int(model.optimizer.iterations.numpy())
    assert 2 <= ran <= STEPS
    fit(model, epochs=1)
    assert int(model.optimizer.iterations.numpy()) == ran + STEPS


def test_a_learning_rate_that_a_callback_sets_is_pulled_by_the_next_steps(
    model: keras.Model,
) -> None:
    seen: list[Any] = []

    def rate(epoch: int, now: float) -> float:
        seen.append(model.get_weights())
        return 0.0 if epoch == 1 else now + 0.01 if epoch else now

    fit(model, keras.callbacks.LearningRateScheduler(rate), epochs=2)
    for before, after in zip(seen[1], model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)  # nothing was learned in epoch 1
    assert np.any(seen[0][0] != seen[1][0])


def test_a_plateau_lowers_the_rate(model: keras.Model) -> None:
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=100.0)
    fit(model, plateau, epochs=3)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.05 * 0.1**2, rel=1e-4)


def test_early_stopping_stops_and_restores_the_best_weights(model: keras.Model) -> None:
    best: list[Any] = []

    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 0:
                best.append(self.model.get_weights())
            logs["goal"] = float(epoch)

    early = keras.callbacks.EarlyStopping("goal", mode="min", patience=1, restore_best_weights=True)
    assert len(fit(model, Spoil(), early, epochs=9)["loss"]) == 2
    for value, now in zip(best[0], model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, now)
