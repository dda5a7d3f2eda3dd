"""A contender: tf_keras's `model.fit` under TensorFlow's strategy. `contenders.py` starts it."""

from __future__ import annotations

import dataclasses

import tyro

import tfps
from benchmarks.compare import protocol
from benchmarks.compare.cases import Chosen

NUM_PS = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Chosen):
    """Train with tf_keras, one turn at a time.

    Attributes:
        steps_per_execution: Steps per dispatch.
    """

    steps_per_execution: int = 1


def main() -> None:
    """Train on the chief, serve on the workers and ps."""
    arguments = tyro.cli(Arguments)
    # Only the servers and the order of the start are the project's; they are TensorFlow's own.
    tfps.run(lambda: train(arguments))


def train(arguments: Arguments) -> None:
    """Train on the cluster of TF_CONFIG."""
    import tensorflow as tf
    import tf_keras

    # It splits what tfps.AutoPartitioner splits.
    partitioner = tf.distribute.experimental.partitioners.MinSizePartitioner(1 << 20, NUM_PS)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    strategy = tf.distribute.ParameterServerStrategy(resolver, partitioner)
    case = arguments.case
    with strategy.scope():
        model = case.compiled(tf_keras, arguments.steps_per_execution)
    model.fit(
        tf_keras.utils.experimental.DatasetCreator(case.dataset),
        epochs=protocol.ENDLESS,
        steps_per_epoch=arguments.steps,
        callbacks=[protocol.callback(tf_keras, arguments.steps)],
        verbose=0,
    )


if __name__ == "__main__":
    main()
