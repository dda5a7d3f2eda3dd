"""A contender: a plain Keras 3 loop on TensorFlow's ClusterCoordinator. `contenders.py` starts it.

Keras 3's own `fit` does not run under TensorFlow's strategy, and its variables cannot be split.
"""

from __future__ import annotations

from typing import Any, NoReturn

import tyro

import tfps
from benchmarks.compare import protocol
from benchmarks.compare.cases import Chosen


def main() -> None:
    """Train on the chief, serve on the workers and ps."""
    arguments = tyro.cli(Chosen)
    # Only the servers and the order of the start are the project's; they are TensorFlow's own.
    tfps.run(lambda: train(arguments))


def train(arguments: Chosen) -> NoReturn:
    """Train on the cluster of TF_CONFIG."""
    import keras
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    case = arguments.case
    with strategy.scope():
        model, optimizer = case.make(keras), case.optimizer(keras)
        optimizer.build(model.trainable_variables)
    loss_of = case.loss(keras)
    batches = iter(coordinator.create_per_worker_dataset(case.dataset))

    def learn(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(targets, model(inputs, training=True))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    @tf.function
    def step(iterator: Any) -> Any:
        return strategy.run(learn, next(iterator))

    def run() -> float:
        for _ in range(arguments.steps):
            last = coordinator.schedule(step, args=(batches,))
        coordinator.join()
        return float(last.fetch())

    protocol.take_turns(parameters=model.count_params(), steps=arguments.steps, run=run)


if __name__ == "__main__":
    main()
