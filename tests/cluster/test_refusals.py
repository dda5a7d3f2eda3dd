"""What cannot work is refused at once, with the reason and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import MakeStrategy
from tfps import _keras

pytestmark = pytest.mark.timeout(60)

X, Y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


class Largest(keras.metrics.Metric):
    """A metric whose state is no sum."""

    def __init__(self) -> None:
        super().__init__(name="largest")
        self.value = self.add_variable((), "zeros", name="value")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.value.assign(keras.ops.maximum(self.value, keras.ops.max(y_pred)))

    def result(self) -> Any:
        return self.value.value


def dense(**arguments: Any) -> keras.Model:
    return keras.Sequential([keras.layers.Dense(1, **arguments)])


def generator() -> Iterator[Any]:
    yield X, Y


REFUSED_BY_FIT: dict[str, tuple[Callable[[], keras.Model], dict[str, Any], str]] = {
    "metric": (
        dense,
        {"metrics": [Largest()]},
        r"Metric state 'largest/value' is updated by more than adding to it.*assign_add",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED_BY_FIT))
def test_fit_refuses(strategy: tfps.ParameterServerStrategy, case: str) -> None:
    make_model, arguments, message = REFUSED_BY_FIT[case]
    make_optimizer = arguments.pop("optimizer", keras.optimizers.SGD)
    with strategy.scope():
        model = make_model()
        model.compile(make_optimizer(), "mse", **arguments)
    with pytest.raises(NotImplementedError, match=message):
        model.fit(X, Y, verbose=0)


def from_generator() -> tf.data.Dataset:
    spec = (tf.TensorSpec([None, 3]), tf.TensorSpec([None, 1]))
    return tf.data.Dataset.from_generator(generator, output_signature=spec)


FROM_GENERATOR = from_generator()


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"x": lambda _: FROM_GENERATOR}, ValueError, "calls a Python function"),
        ({"x": object()}, TypeError, "Data of type object cannot be read"),
        ({"x": X, "y": Y[:4]}, ValueError, "same number of samples"),
        ({"x": X[:0], "y": Y[:0]}, UserWarning, "holds no batch, so no step has run"),
        (
            {"x": tf.data.Dataset.from_tensors((X, Y)), "y": Y},
            ValueError,
            "`y` should not be passed",
        ),
        ({"x": lambda _: X}, TypeError, "returned ndarray for share"),
        (
            {"x": tf.data.Dataset.from_tensors((X, Y)).repeat()},
            ValueError,
            "The data never ends. Say how many steps",
        ),
    ],
    ids=["from_generator", "object", "lengths", "empty", "targets", "no dataset", "endless"],
)
def test_data_that_cannot_be_read_is_refused(
    strategy: tfps.ParameterServerStrategy, data: dict[str, Any], error: Any, message: str
) -> None:
    with strategy.scope():
        model = dense()
        model.compile("sgd", "mse")
    with pytest.raises(error, match=message):
        model.fit(**data, verbose=0)


def test_a_layer_made_outside_of_the_scope_is_named(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    stray = keras.layers.Dense(1)
    stray.build((None, 3))
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), stray])
        model.compile("sgd", "mse")
    with pytest.raises((ValueError, RuntimeError), match=r"scope|strategy"):
        model.fit(X, Y, verbose=0)


def test_an_error_in_a_data_function_reaches_the_caller(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    def broken(context: tf.distribute.InputContext) -> tf.data.Dataset:
        raise OSError(f"no share for worker {context.input_pipeline_id}")

    with strategy.scope():
        model = dense()
        model.compile("sgd", "mse")
    with pytest.raises(OSError, match="no share for worker"):
        model.fit(broken, verbose=0)
    model.fit(X, Y, verbose=0)  # the workers are free again
    assert int(model.optimizer.iterations) == 1


def test_a_model_of_another_scope_is_refused(make_strategy: MakeStrategy) -> None:
    outside = dense()
    with make_strategy(2).scope():
        elsewhere = dense()
        elsewhere.compile("sgd", "mse")
    with make_strategy(1).scope():
        with pytest.raises(ValueError, match="built outside of any strategy's scope"):
            outside.compile("sgd", "mse")
        with pytest.raises(ValueError, match="built in another strategy's scope"):
            elsewhere.fit(X, Y, verbose=0)


@pytest.mark.usefixtures("_cluster")
def test_a_partitioner_of_another_axis_is_refused() -> None:
    strategy = tfps.ParameterServerStrategy(
        variable_partitioner=lambda shape, dtype, axis=0: [1] * (len(shape) - 1) + [2]
    )
    with strategy.scope(), pytest.raises(ValueError, match=r"shape \(3, 4\) into \[1, 2\] parts"):
        keras.layers.Dense(4).build((None, 3))


def test_an_untested_version_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_keras.TESTED_VERSIONS, "keras", "3.14")
    with pytest.warns(UserWarning, match=r"tested with keras 3.14, and 3\.15\.\d+ is installed"):
        _keras.warn_of_untested_versions()
