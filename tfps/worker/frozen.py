"""Frozen parameters: no step of a program changes them, so that a worker pulls them only once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps._tensorflow import capture_at_call
from tfps.params.placement import ps_device
from tfps.params.shards import shards
from tfps.params.variable_map import Values, VariableMap
from tfps.transport.pull import pulling
from tfps.worker.per_worker import PerWorker


class Frozen:
    """Whole values that each worker keeps, and pulls again after they have changed."""

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        """Take variables on the ps."""
        self._variables = list(variables)
        self._version = 0
        self._fingerprint: Any = None
        self._values = PerWorker(pulling(self._variables))
        traced = tf.function(self._fingerprints, autograph=False)
        self._take_fingerprint = traced.get_concrete_function()
        _keras.note_assignments(self._variables)

    def values(self) -> Values:
        """Return the values; to be called at the top of a worker's function.

        At each call of that function they are those that its worker keeps.
        """

        def value(index: int) -> tf.Tensor:
            return self._values.get((self._version, _keras.assignments()))[index]

        return VariableMap(
            (variable, capture_at_call(functools.partial(value, index), _spec(variable)))
            for index, variable in enumerate(self._variables)
        )

    def refresh(self) -> None:
        """Let the workers pull again if values have changed: restored, or trained by another model.

        Each ps hashes its shards. After an assignment by Keras no refresh is needed.
        """
        if not self._variables:
            return
        fingerprint = self._take_fingerprint().numpy().tobytes()
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._version += 1

    def _fingerprints(self) -> tf.Tensor:
        """Return the hashes of all shards, uint8, of shape `(num_shards, 8)`."""
        hashes = []
        for variable in self._variables:
            for shard in shards(variable):
                with tf.device(ps_device(shard.ps)):
                    hashes.append(tf.fingerprint(tf.reshape(shard.variable.read_value(), [1, -1])))
        return tf.concat(hashes, axis=0) if hashes else tf.zeros([0, 8], tf.uint8)


def _spec(variable: keras.Variable) -> tf.TensorSpec:
    return tf.TensorSpec(tuple(variable.shape), variable.dtype)
