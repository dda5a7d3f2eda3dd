"""Optimizers on tables that are pulled by row, and precision; see also benchmarks/optimizers.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import optimizers

import tfps
from tests.cluster.conftest import MakeStrategy
from tests.cluster.contract.conftest import Make, assert_learns, made_twice

RANDOM = np.random.default_rng(0)
N = 32
SLOW = pytest.mark.slow
# No id twice in a batch: plain Keras clips and squares the gradients of equal ids one by one.
IDS = RANDOM.permutation(128)[: 3 * N].reshape(N, 3)
Y = RANDOM.normal(size=(N, 1)).astype("float32")


def embedded(optimizer: optimizers.Optimizer, **arguments: Any) -> keras.Model:
    ids = keras.Input((3,), dtype="int32")
    rows = keras.layers.Embedding(128, 4, **arguments)(ids)
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(rows)))
    model.compile(optimizer, "mse")
    # In plain Keras a fit that builds an optimizer itself loses what some begin with.
    model.optimizer.build(model.trainable_variables)
    return model


def same_steps(make: Make, make_model: Callable[[], keras.Model], steps: int = 6) -> None:
    """Train both models on one batch, so that one worker does it, and compare."""
    model, plain = make(make_model)
    losses = [
        m.fit(IDS, Y, batch_size=N, epochs=steps, shuffle=False, verbose=0).history["loss"]
        for m in (model, plain)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


BY_ROW: dict[str, Callable[[], optimizers.Optimizer]] = {
    "sgd": lambda: optimizers.SGD(0.1),
    "clipnorm": lambda: optimizers.SGD(0.5, clipnorm=0.1),
    "global_clipnorm": lambda: optimizers.SGD(0.5, global_clipnorm=0.1),
    "clipvalue": lambda: optimizers.SGD(0.5, clipvalue=0.01),
    "accumulation": lambda: optimizers.SGD(0.3, gradient_accumulation_steps=2, global_clipnorm=0.5),
    "ema": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=4),
    "ema and accumulation": lambda: optimizers.SGD(
        0.1,
        use_ema=True,
        ema_momentum=0.7,
        ema_overwrite_frequency=2,
        gradient_accumulation_steps=2,
    ),
    "loss scale": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=64.0),
}


# The others do what these do, and more.
SIMPLER = ("sgd", "global_clipnorm")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=SLOW) if n in SIMPLER else n for n in BY_ROW]
)
def test_rows_take_the_steps_of_plain_keras(make: Make, name: str) -> None:
    same_steps(make, lambda: embedded(BY_ROW[name]()))


def constrained() -> keras.Model:
    ids = keras.Input((3,), dtype="int32")
    rows = keras.layers.Flatten()(keras.layers.Embedding(128, 4)(ids))
    below = keras.initializers.Constant(-0.5)
    out = keras.layers.Dense(1, kernel_initializer=below, kernel_constraint="non_neg")(rows)
    model = keras.Model(ids, out)
    averaged = {"use_ema": True, "ema_momentum": 0.5}
    model.compile(optimizers.SGD(0.1, gradient_accumulation_steps=4, **averaged), "mse")
    return model


def test_a_constraint_follows_the_average_in_each_batch(make: Make) -> None:
    same_steps(make, constrained)


class OfTheUsersOwn(optimizers.Optimizer):
    """Divides a step by the norm of the whole momentum, and shrinks what is large."""

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self.momenta = [self.add_variable_from_reference(v, "momentum") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        momentum = self.momenta[self._get_variable_index(variable)]
        self.assign(momentum, 0.9 * momentum + gradient)
        rate = keras.ops.cast(learning_rate, variable.dtype) / (1 + keras.ops.norm(momentum))
        large = keras.ops.cast(abs(variable) > 0.5, variable.dtype)
        self.assign_sub(variable, rate * momentum + 0.01 * large * abs(-variable))


SYNCHRONOUS = tfps.update.Synchronous()
MAX_NORM = keras.constraints.MaxNorm(0.1, axis=0)
WHOLE: dict[str, tuple[Callable[[], optimizers.Optimizer], dict[str, Any]]] = {
    "Adafactor": (lambda: optimizers.Adafactor(0.05), {}),
    "Lamb": (
        lambda: optimizers.Lamb(
            0.05, weight_decay=0.1, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2
        ),
        {},
    ),
    "Muon": (
        lambda: optimizers.Muon(
            0.05, exclude_embeddings=False, weight_decay=0.2, adam_weight_decay=0.5
        ),
        {},
    ),
    "own": (lambda: OfTheUsersOwn(0.05), {}),
    "constraint": (lambda: optimizers.Adam(0.05), {"embeddings_constraint": MAX_NORM}),
    "regularizer": (
        lambda: optimizers.SGD(0.05, clipnorm=0.1),
        {"embeddings_regularizer": keras.regularizers.OrthogonalRegularizer(0.1)},
    ),
}


@pytest.mark.parametrize(
    ("name", "shards", "update"),
    [
        ("Adafactor", 2, SYNCHRONOUS),
        ("Lamb", 3, None),
        pytest.param("constraint", 2, None, marks=SLOW),
        pytest.param("constraint", 3, SYNCHRONOUS, marks=SLOW),
        pytest.param("Lamb", 2, SYNCHRONOUS, marks=SLOW),
        pytest.param("Muon", 2, SYNCHRONOUS, marks=SLOW),
        pytest.param("own", 3, SYNCHRONOUS, marks=SLOW),
        pytest.param("own", 2, None, marks=SLOW),
        pytest.param("regularizer", 2, None, marks=SLOW),
        *(pytest.param(name, 1, None, marks=SLOW) for name in WHOLE),
    ],
)
def test_what_looks_at_a_whole_variable_updates_one_in_shards(
    make_strategy: MakeStrategy, name: str, shards: int, update: tfps.update.Policy | None
) -> None:
    make_optimizer, arguments = WHOLE[name]
    strategy = make_strategy(shards, update=update)
    same_steps(
        functools.partial(made_twice, strategy), lambda: embedded(make_optimizer(), **arguments)
    )


@pytest.mark.parametrize("policy", [pytest.param("mixed_bfloat16", marks=SLOW), "mixed_float16"])
def test_mixed_precision_learns_and_keeps_float32_parameters(make: Make, policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    model, _ = make(lambda: embedded(optimizers.Adam(0.02)))
    assert_learns(model, IDS, Y, epochs=10)
    assert {str(w.dtype) for w in model.get_weights()} == {"float32"}
    scaled = isinstance(model.optimizer, optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


def test_averages_of_rows_that_are_never_used_are_their_values(make: Make) -> None:
    model, _ = make(lambda: embedded(optimizers.SGD(0.1, use_ema=True)))
    before = model.get_weights()[0]
    model.fit(IDS, Y, epochs=2, verbose=0)
    unused = np.setdiff1d(np.arange(128), IDS)
    np.testing.assert_array_equal(model.get_weights()[0][unused], before[unused])
