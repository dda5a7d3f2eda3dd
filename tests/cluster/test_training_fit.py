"""Keras's fit on real workers and ps: kinds of models and of data, exact counters."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

import tfps
from tests.cluster.conftest import NUM_WORKERS

pytestmark = pytest.mark.timeout(120)

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(42, 3)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5]], "float32")


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(8, activation="relu")
        self.out = keras.layers.Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.out(self.hidden(x))


def sequential() -> keras.Model:
    return keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])


def functional() -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Dense(1)(keras.layers.Dense(8, activation="relu")(x)))


def dataset(batch_size: int = 4) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(batch_size)


def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
    assert context.num_input_pipelines == NUM_WORKERS
    return dataset().shard(context.num_input_pipelines, context.input_pipeline_id)


def compiled(strategy: tfps.ParameterServerStrategy, make: Callable[[], keras.Model]) -> Any:
    with strategy.scope():
        model = make()
        model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("make", [sequential, functional, Subclassed], ids=lambda f: f.__name__)
def test_every_kind_of_model_learns(
    strategy: tfps.ParameterServerStrategy, make: Callable[[], keras.Model]
) -> None:
    with strategy.scope():
        model = make()
        model.compile(keras.optimizers.Adam(0.03), "mse", steps_per_execution=3)
    history = model.fit(share, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert int(model.optimizer.iterations.numpy()) == 8 * 11


@pytest.mark.parametrize("arguments", [{"x": share}, {"x": X, "y": Y}], ids=["function", "arrays"])
def test_functions_of_models_that_are_gone_are_removed_from_the_servers(
    strategy: tfps.ParameterServerStrategy, arguments: dict[str, Any]
) -> None:
    counts = []
    for _ in range(3):
        model = compiled(strategy, functional)
        model.fit(**arguments, epochs=1, verbose=0)
        del model
        gc.collect()
        counts.append(len(context.context().list_function_names()))
    assert counts[2] <= counts[1]  # what the last model left goes with the next fit


@pytest.mark.parametrize(
    ("data", "steps_per_execution"), [("arrays", 1), ("dataset", 4), ("function", 4)]
)
def test_an_epoch_sees_each_example_once_and_counts_exactly(
    make_strategy: Any, data: str, steps_per_execution: int
) -> None:
    strategy = make_strategy(2)
    with strategy.scope():
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        model.compile(
            "sgd",
            "mse",
            metrics=[Examples(), Squares(name="squares")],
            steps_per_execution=steps_per_execution,
        )
    arguments: dict[str, Any] = {
        "arrays": {"x": X, "y": Y, "batch_size": 4},
        "dataset": {"x": dataset().shuffle(100)},
        "function": {"x": share},
    }[data]
    history = model.fit(**arguments, epochs=2, verbose=0).history
    assert history["examples"] == [len(X)] * 2
    np.testing.assert_allclose(history["squares"], np.mean(Y**2), rtol=1e-5)
    assert int(model.optimizer.iterations.numpy()) == 2 * 11


@keras.saving.register_keras_serializable("tests")
class Squares(keras.metrics.Mean):
    """The mean square of the targets: tells whether each was seen once."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(keras.ops.square(y_true))


class Examples(keras.metrics.Metric):
    """How many targets were seen."""

    def __init__(self, name: str = "examples", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.seen = self.add_variable((), "zeros", name="seen")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.seen.assign_add(keras.ops.cast(keras.ops.shape(y_true)[0], "float32"))

    def result(self) -> Any:
        return self.seen


def test_a_thousand_steps_count_a_thousand(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=[Examples()], steps_per_execution=7)
    endless = tf.data.Dataset.from_tensor_slices((X[:40], Y[:40])).batch(4).repeat()
    history = model.fit(lambda _: endless, steps_per_epoch=1000, verbose=0).history
    assert int(model.optimizer.iterations.numpy()) == 1000
    assert history["examples"] == [4000]


def test_finite_data_begins_anew_after_as_many_steps_as_it_has_batches(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model = compiled(strategy, sequential)
    for data in (dataset(), share):
        model.fit(data, steps_per_epoch=11, epochs=3, verbose=0)
    model.fit(X, Y, batch_size=4, steps_per_epoch=11, epochs=3, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 9 * 11


def test_too_few_batches_warn_and_the_next_epoch_begins_anew(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model = compiled(strategy, sequential)
    with pytest.warns(UserWarning, match="ended before 20 steps had run"):
        model.fit(dataset(), steps_per_epoch=20, epochs=2, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 22


def test_validation_steps_are_the_same_batches_each_epoch(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(
        X, Y, epochs=4, validation_data=dataset(2), validation_steps=8, verbose=0
    ).history
    assert np.ptp(history["val_loss"]) == pytest.approx(0.0, abs=1e-6)


def test_validation_sees_each_example_once(strategy: tfps.ParameterServerStrategy) -> None:
    with strategy.scope():
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("adam", "mse", metrics=[Examples()], steps_per_execution=2)
    for held_out in ((X[:13], Y[:13]), (X[:13], Y[:13], np.ones(13)), dataset().take(3)):
        history = model.fit(
            X, Y, batch_size=4, epochs=3, validation_data=held_out, validation_freq=2, verbose=0
        ).history
        assert history["examples"] == [42] * 3
        assert len(history["val_loss"]) == 1
        assert history["val_examples"] == [12 if isinstance(held_out, tf.data.Dataset) else 13]
    split = model.fit(X, Y, validation_split=0.25, verbose=0).history
    assert split["examples"] == [31]
    assert split["val_examples"] == [11]


def test_fit_takes_its_arguments_by_position_and_runs_inside_the_scope_too(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        model = sequential()
        model.compile("adam", "mse")
        model.fit(X, Y, 8, 2, 0)
    assert int(model.optimizer.iterations.numpy()) == 2 * 6


# contract/test_inputs.py has the same for shards.
@pytest.mark.slow
def test_several_inputs_and_outputs_by_name(strategy: tfps.ParameterServerStrategy) -> None:
    with strategy.scope():
        a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
        outputs = {"sum": keras.layers.Dense(1)(a + b), "product": keras.layers.Dense(1)(a * b)}
        model = keras.Model({"a": a, "b": b}, outputs)
        model.compile("adam", {"sum": "mse", "product": "mae"}, metrics={"sum": ["mae"]})
    history = model.fit({"a": X, "b": X}, {"sum": Y, "product": Y}, epochs=2, verbose=0).history
    assert {"loss", "sum_loss", "product_loss", "sum_mae"} <= set(history)
    predicted = model.predict({"a": X, "b": X}, verbose=0)
    assert predicted["sum"].shape == (42, 1)


def test_a_compile_takes_effect_on_a_model_that_was_trained(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model = compiled(strategy, functional)
    model.fit(X, Y, verbose=0)
    before = [v.numpy() for v in model.layers[1].variables]
    with strategy.scope():
        model.layers[1].trainable = False
        model.compile("sgd", "mae", metrics=["mse"])
    assert set(model.fit(X, Y, verbose=0).history) == {"loss", "mse"}
    for value, variable in zip(before, model.layers[1].variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_mixed_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    with strategy.scope():
        model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.05), "mse")
    history = model.fit(X, Y, batch_size=8, epochs=6, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert {v.dtype for v in model.variables} == {"float32"}
    assert model.predict(X, verbose=0).dtype == "bfloat16"
