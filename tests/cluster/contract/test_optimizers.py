"""Optimizers on tables that are pulled by row, and precision; see also benchmarks/optimizers.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import optimizers

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
    "loss scale": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=64.0),
}


# The others do what these do, and more.
SIMPLER = ("sgd", "global_clipnorm")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=SLOW) if n in SIMPLER else n for n in BY_ROW]
)
def test_rows_take_the_steps_of_plain_keras(make: Make, name: str) -> None:
    same_steps(make, lambda: embedded(BY_ROW[name]()))


def same_steps_or_refused(make_strategy: MakeStrategy, make_model: Any) -> None:
    """A ps that holds a part of a table cannot look at all of it."""
    same_steps(functools.partial(made_twice, make_strategy(1)), make_model)
    with pytest.raises(NotImplementedError, match="partitioner that does not split it"):
        same_steps(functools.partial(made_twice, make_strategy(2)), make_model)


@pytest.mark.parametrize(
    "make_optimizer",
    [pytest.param(optimizers.Lamb, marks=SLOW), optimizers.Adafactor, optimizers.Muon],
)
def test_optimizers_that_look_at_a_whole_table_update_it_on_its_ps(
    make_strategy: MakeStrategy, make_optimizer: Any
) -> None:
    same_steps_or_refused(make_strategy, lambda: embedded(make_optimizer(0.05)))


def test_a_constraint_over_all_rows_of_a_table(make_strategy: MakeStrategy) -> None:
    constraint = keras.constraints.MaxNorm(0.1, axis=0)
    same_steps_or_refused(
        make_strategy, lambda: embedded(optimizers.SGD(0.1), embeddings_constraint=constraint)
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
