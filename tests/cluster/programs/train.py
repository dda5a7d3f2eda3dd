"""Count steps on the cluster with TensorFlow's own strategy; the chief of the tests of serving.

`train.py fail` raises after the steps. `train.py idle` never connects to the cluster.
"""

import sys

import tensorflow as tf

import tfps

STEPS = 20


def train() -> None:
    if "idle" in sys.argv:
        return
    config = tfps.TFConfig.from_environment()
    assert config is not None
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(config.cluster.without_evaluators().as_dict()),
        task_type="chief",
        task_id=0,
        rpc_layer="grpc",
    )
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        steps = tf.Variable(0)

    @tf.function
    def step() -> None:
        steps.assign_add(1)

    for _ in range(STEPS):
        coordinator.schedule(step)
    coordinator.join()
    print(f"steps: {steps.numpy()}", flush=True)
    if "fail" in sys.argv:
        raise RuntimeError("the training failed")


tfps.run(train, chief_timeout_s=60)
