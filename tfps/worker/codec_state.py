"""The state of codecs on a worker, which lasts from step to step: residuals, momenta."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfps.params.shards import Shard
from tfps.transport.messages import Bundle
from tfps.worker.per_worker import WorkerVariables

_Key = tuple[int, tuple[Shard, ...], tuple[tf.TensorSpec, ...]]


class CodecState:
    """The state of the codecs of all bundles that a worker pushes.

    If a codec replaces another one in a warm-up, it takes over the state if that has the same
    shapes. The state of a lost worker is lost, and a resumed job starts without state: the parts of
    gradients that were held back until then are missing.
    """

    def __init__(self) -> None:
        self._variables: dict[_Key, WorkerVariables] = {}
        self._graph: tf.Graph | None = None

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._graph = tf.compat.v1.get_default_graph()
        for variables in self._variables.values():
            variables.prepare()

    def read(self, bundle: Bundle) -> list[tf.Tensor]:
        """Return the state of a bundle's codec, on the worker."""
        variables, specs = self._of(bundle)
        return [variables.read(i, spec.dtype, spec.shape) for i, spec in enumerate(specs)]

    def write(self, bundle: Bundle, state: Sequence[tf.Tensor]) -> None:
        """Keep the state of a bundle's codec for the next step."""
        variables, _ = self._of(bundle)
        for index, value in enumerate(state):
            variables.write(index, value)

    def _of(self, bundle: Bundle) -> tuple[WorkerVariables, tuple[tf.TensorSpec, ...]]:
        shapes = [shard.shape for shard in bundle.shards]
        with tf.Graph().as_default():
            specs = tuple(
                tf.TensorSpec(t.shape, t.dtype) for t in bundle.codec.initial_state(shapes)
            )
        key = (bundle.ps, tuple(bundle.shards), specs)
        if key not in self._variables:

            def make() -> list[tf.Variable]:
                initial = bundle.codec.initial_state(shapes)
                return [tf.Variable(value, trainable=False) for value in initial]

            state = self._variables[key] = WorkerVariables(make)
            assert self._graph is not None
            with self._graph.as_default():
                state.prepare()
        return self._variables[key], specs
