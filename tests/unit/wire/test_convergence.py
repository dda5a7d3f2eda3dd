"""SGD with codecs reaches what SGD reaches, and without feedback it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from tfps.wire import Codec, ErrorFeedback, Identity, MomentumCorrection, OneBit, PowerSGD, TopK

SHAPE = (16, 32)
_random = np.random.default_rng(0)
TARGET = tf.constant(_random.normal(size=SHAPE).astype("float32"))
# Two workers whose gradients differ most where they cancel out.
_row = np.zeros(SHAPE, "float32")
_row[0] = 10 * _random.normal(size=SHAPE[1])
PULLS = [tf.constant(_row), tf.constant(-_row)]
INPUTS = tf.constant(_random.normal(size=(400, SHAPE[0])).astype("float32"))
LABELS = tf.argmax(INPUTS @ TARGET + _random.gumbel(size=(400, SHAPE[1])), axis=1)

Gradient = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def _trained(
    codec: Codec, gradients: Sequence[Gradient], steps: int, learning_rate: float
) -> tf.Tensor:
    """Return the weights, from zeros, after steps on the means of the workers' gradients."""
    variables = [[tf.Variable(kept) for kept in codec.initial_state([SHAPE])] for _ in gradients]

    @tf.function
    def train() -> tf.Tensor:
        weights = tf.zeros(SHAPE)
        for number in tf.range(steps):
            arrived = []
            for worker, gradient in enumerate(gradients):
                encoded = codec.encode(
                    [gradient(weights, number)],
                    seed=tf.stack([number, worker]),
                    state=[variable.read_value() for variable in variables[worker]],
                )
                arrived += codec.decode(encoded.parts, [SHAPE], tf.float32)
                for variable, kept in zip(variables[worker], encoded.state, strict=True):
                    variable.assign(kept)
            weights -= learning_rate * tf.add_n(arrived) / len(arrived)
        return weights

    return train()


@pytest.mark.parametrize("codec", [TopK(0.01), OneBit(), PowerSGD(1)], ids=str)
def test_workers_that_pull_apart_agree_only_with_feedback(codec: Codec) -> None:
    gradients: list[Gradient] = [lambda w, _, pull=pull: w - TARGET + pull for pull in PULLS]

    def distance(codec: Codec) -> float:
        weights = _trained(codec, gradients, steps=2000, learning_rate=0.01)
        return float(tf.reduce_mean((weights - TARGET) ** 2))

    assert distance(Identity()) < 1e-6
    assert distance(ErrorFeedback(codec)) < 0.02
    assert distance(codec) > 0.03


def _cross_entropy(weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.gather(LABELS, rows), tf.gather(INPUTS, rows) @ weights
        )
    )


def _gradient_of_batch(weights: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    rows = tf.random.stateless_uniform([16], tf.stack([number, 5]), 0, 400, tf.int32)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = _cross_entropy(weights, rows)
    return tape.gradient(loss, weights)


def _loss(codec: Codec, learning_rate: float) -> float:
    weights = _trained(codec, [_gradient_of_batch], 1500, learning_rate)
    return float(_cross_entropy(weights, tf.range(400)))


@pytest.mark.parametrize(
    "codec", [TopK(0.01), TopK(0.01, threshold="sampled"), PowerSGD(1)], ids=str
)
def test_logistic_regression_reaches_the_loss_of_sgd_with_feedback(codec: Codec) -> None:
    plain = _loss(Identity(), 0.1)
    assert abs(_loss(ErrorFeedback(codec), 0.1) - plain) < 0.02
    assert _loss(codec, 0.1) > plain + 0.1


def test_momentum_correction_reaches_the_loss_of_sgd_with_momentum() -> None:
    plain = _loss(MomentumCorrection(Identity(), 0.9), 0.01)
    sparse = MomentumCorrection(TopK(0.01), 0.9)
    unmasked = dataclasses.replace(sparse, factor_masking=False)
    assert abs(_loss(unmasked, 0.01) - plain) < 0.02
    # Masking ends velocities early, so it is a little behind.
    assert plain - 0.02 < _loss(sparse, 0.01) < plain + 0.2
    without_momentum = _loss(ErrorFeedback(TopK(0.01)), 0.01)
    assert without_momentum > plain + 0.5
