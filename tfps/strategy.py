"""The one object that a user makes: it says where parameters live, and trains what uses them."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras, _tensorflow
from tfps.cluster.embedded import embedded_cluster
from tfps.cluster.spec import ClusterSpec
from tfps.cluster.tf_config import TFConfig
from tfps.errors import TaskTypeError
from tfps.params.placement import (
    AutoPartitioner,
    ByteBalance,
    Partitioner,
    checking_first_axis,
)
from tfps.params.variables import PsVariableCreation
from tfps.step.step import StepSettings
from tfps.training.auto import Codecs
from tfps.training.fit import KerasHooks
from tfps.training.loop import Loop, StepFunction
from tfps.training.runtime import Runtime
from tfps.update import Asynchronous, Policy
from tfps.wire import Auto, Codec


class ParameterServerStrategy(_tensorflow.Strategy, _keras.KerasStrategy):
    """Train Keras 3 models on parameter servers.

    A subclass of TensorFlow's strategy, to be used with its ClusterCoordinator or, without a word
    about either, by `model.fit`, `evaluate` and `predict` of any model that is built in its scope:

        strategy = tfps.ParameterServerStrategy()
        with strategy.scope():
            model = keras.Sequential([...])
            model.compile(optimizer="adam", loss="mse")
        model.fit(dataset_fn, epochs=3, steps_per_epoch=100)

    All strategies of a process share its cluster.
    """

    def __init__(
        self,
        cluster_resolver: tf.distribute.cluster_resolver.ClusterResolver | None = None,
        variable_partitioner: Partitioner | AutoPartitioner | None = None,
        *,
        pull: Codec | Auto | None = None,
        push: Codec | Auto | None = None,
        overlap: bool = False,
        lazy_rows: bool = True,
        bucket_bytes: int | None = None,
        update: Policy | None = None,
    ) -> None:
        """Connect to the cluster.

        Args:
            cluster_resolver: says who takes part. None reads TF_CONFIG, and without that makes a
                small cluster inside of this process.
            variable_partitioner: says into how many shards a variable is split, along its first
                axis: `tfps.AutoPartitioner()`, one of
                `tf.distribute.experimental.partitioners`, or a function like those. None splits
                nothing.
            pull: the codec in which a training step's parameters travel from the ps to the workers,
                one of `tfps.wire`; None is `Identity`, float32 as it is. "auto" measures the links
                and the step before a model's first step, picks the least lossy codec that keeps the
                wire off the critical path, and prints which and why.
            push: the codec in which gradients travel from the workers to the ps; the same.
            overlap: whether a worker, while it computes a step, pushes the one before, and then
                pulls for the next, so that a step's pull lacks its worker's last update.
                `steps_per_execution` must be above 1 for an effect, and all updates are in at the
                end of each call. The logs have the mean number that was missing,
                `added_staleness`. Late gradients want smaller learning rates.
            lazy_rows: whether a step that pulls a table by rows updates only these rows, and those
                of its slot variables. False also moves the others, as plain Keras does: by momentum
                and decay. For SGD without momentum, and for Adagrad, it is the same.
            bucket_bytes: how many bytes of parameters, before coding, travel in one message at
                most. Where a step's parameters are more, those of the first layers are pushed and
                applied first, and pulled again while the others are still pushed: links that carry
                both directions at once carry both, without late gradients. For slow links: each
                message costs CPU time, about a millisecond. None is one message for each ps and
                direction; if a codec is "auto", it is measured and picked, too.
                `steps_per_execution` must be above 1 for an effect.
            update: a policy of `tfps.update`: when updates take effect. None is `Asynchronous()`,
                which applies each gradient when it arrives.

        Raises:
            TFConfigError: if TF_CONFIG has faults.
            ValueError: if `pull` is a codec that parameters cannot be pulled with, `pull` or `push`
                is a name other than "auto", `bucket_bytes` is below 1, or `update` suits neither
                the cluster nor `overlap`.
        """
        _keras.install()
        resolver = cluster_resolver or default_resolver()
        addresses = resolver.cluster_spec().as_dict()
        num_ps, num_workers = len(addresses.get("ps", ())), len(addresses.get("worker", ()))
        partitioner = (
            variable_partitioner.for_ps(num_ps)
            if isinstance(variable_partitioner, AutoPartitioner)
            else variable_partitioner
        )
        partitioner = checking_first_axis(partitioner) if partitioner else None
        codecs = Codecs(pull, push, num_ps, bucket_bytes)
        policy = update or Asynchronous()
        policy.check_cluster(num_workers)
        if overlap and not policy.allows_overlap:
            raise ValueError(
                f"overlap=True with update={update!r}: a step would wait for the update of a step "
                "that is still to be pushed. Take overlap=False, or Asynchronous() without "
                "max_staleness."
            )
        settings = StepSettings(
            wire=codecs.plain,
            num_workers=num_workers,
            policy=policy,
            overlap=overlap,
            lazy_rows=lazy_rows,
        )
        self._runtime = Runtime(self, settings, codecs)
        self._keras_hooks = KerasHooks(self._runtime, logs_updates=update is not None)
        super().__init__(resolver, partitioner, PsVariableCreation)

    @functools.cached_property
    def coordinator(self) -> tf.distribute.coordinator.ClusterCoordinator:
        """The coordinator that runs this strategy's steps on the workers."""
        return tf.distribute.coordinator.ClusterCoordinator(self)

    @property
    def bytes_per_ps(self) -> tuple[int, ...]:
        """Bytes of the variables on each ps, slot variables not counted."""
        balance: ByteBalance = self.extended.balance
        return balance.bytes_per_ps

    @property
    def dropped_updates(self) -> int:
        """How many updates a LossScaleOptimizer dropped, as their gradients were not finite."""
        return self._runtime.workers.dropped_updates

    def loop(
        self,
        step: StepFunction,
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        data: Any,
        steps_per_execution: int = 1,
    ) -> Loop:
        """Return a training loop of your own, whose steps run through pull, compute, push, apply.

            loop = strategy.loop(step, model=model, optimizer=optimizer, data=dataset_fn)
            for _ in range(10):
                print(loop.run(100))

        Args:
            step: a function of (model, batch) that returns the loss, a scalar, or a pair of it
                and a dictionary of metrics, scalars. It is traced, and runs on the workers.
            model: built in this strategy's scope.
            optimizer: made in this strategy's scope.
            data: a function from tf.distribute.InputContext to a tf.data.Dataset of batches, or
                such a dataset. It should repeat.
            steps_per_execution: the most steps that a worker runs in one call.
        """
        return Loop(
            self._runtime,
            step,
            model=model,
            optimizer=optimizer,
            data=data,
            steps_per_execution=steps_per_execution,
        )


def default_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Return the resolver of TF_CONFIG's cluster, or else of one inside of this process.

    Raises:
        TaskTypeError: This process is an evaluator, and would take the chief's place.
    """
    config = TFConfig.from_environment()
    if config is not None and config.task.type == "evaluator":
        raise TaskTypeError(
            f"TF_CONFIG: task {config.task} is no part of the cluster. Make the model that it "
            "evaluates without a strategy."
        )
    cluster = embedded_cluster() if config is None else config.cluster
    return _resolver(cluster)


def _resolver(cluster: ClusterSpec) -> tf.distribute.cluster_resolver.ClusterResolver:
    addresses = cluster.without_evaluators().as_dict()
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(addresses), rpc_layer="grpc"
    )
