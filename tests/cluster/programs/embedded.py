"""Train with two strategies, turn by turn, on the embedded cluster of this process."""

from collections.abc import Callable

import tensorflow as tf

from tfps.cluster.embedded import embedded_cluster
from tfps.cluster.spec import ClusterSpec
from tfps.errors import EmbeddedClusterError

STEPS = 50


def trainer(cluster: ClusterSpec) -> Callable[[], int]:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.as_dict()), rpc_layer="grpc"
    )
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        steps = tf.Variable(0)

    @tf.function
    def step() -> None:
        steps.assign_add(1)

    def train() -> int:
        for _ in range(STEPS):
            coordinator.schedule(step)
        coordinator.join()
        return int(steps.numpy())

    return train


cluster = embedded_cluster(num_ps=2, num_workers=2)
assert embedded_cluster() == cluster
assert embedded_cluster(num_workers=2) == cluster
for num_ps, num_workers in ((3, 2), (2, 1), (0, 2)):
    try:
        embedded_cluster(num_ps, num_workers)
    except EmbeddedClusterError as error:
        print(error)
first, second = trainer(cluster), trainer(cluster)
print([first(), second(), first(), second()], flush=True)
