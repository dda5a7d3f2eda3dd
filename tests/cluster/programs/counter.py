"""A counter on a ps that the workers of TensorFlow's own strategy count up."""

from collections.abc import Callable

import tensorflow as tf

from tfps.cluster.spec import ClusterSpec


def counter(cluster: ClusterSpec) -> Callable[[int], int]:
    """Connect to the cluster; return what counts so many steps more and gives the count."""
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.without_evaluators().as_dict()), rpc_layer="grpc"
    )
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        steps = tf.Variable(0)

    @tf.function
    def step() -> None:
        steps.assign_add(1)

    def count(more: int) -> int:
        for _ in range(more):
            coordinator.schedule(step)
        coordinator.join()
        return int(steps.numpy())

    return count
