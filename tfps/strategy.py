"""The strategy: where parameters live, in which format they travel, when updates take effect."""

from __future__ import annotations

import functools
from collections.abc import Iterator
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
from tfps.training.phases import Phases
from tfps.training.prediction import predictions, write_predictions
from tfps.training.runtime import Runtime
from tfps.update import Asynchronous, Policy
from tfps.wire import Auto, Codec


class ParameterServerStrategy(_tensorflow.Strategy, _keras.KerasStrategy):
    """Train Keras 3 models on TensorFlow parameter servers.

    Build and compile a model in the strategy's scope. Keras's own `fit`, `evaluate` and `predict`
    then run its steps on the workers of the cluster:

        strategy = tfps.ParameterServerStrategy()
        with strategy.scope():
            model = keras.Sequential([...])
            model.compile(optimizer="adam", loss="mse")
        model.fit(dataset_fn, epochs=3, steps_per_epoch=100)

    The data is a function from `tf.distribute.InputContext` to a `tf.data.Dataset`, a
    `tf.data.Dataset`, or arrays.

    The class is a subclass of `tf.distribute.ParameterServerStrategy`, and also works with
    TensorFlow's ClusterCoordinator. All strategies of a process share its cluster.
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
            cluster_resolver: says which tasks take part. None reads TF_CONFIG; without TF_CONFIG it
                starts a small cluster inside this process.
            variable_partitioner: says into how many shards to split a variable along its first
                axis. It is `tfps.AutoPartitioner()`, one of
                `tf.distribute.experimental.partitioners`, or a function like those. None splits no
                variable.
            pull: the codec for the parameters that a training step pulls from the ps, one of
                `tfps.wire`. None is `Identity()`: float32 values as they are.
                `tfps.wire.Auto()` measures the step and the links before a model's first step,
                picks the least lossy codec that keeps the wire off the critical path, and prints
                its choice with the reason.
            push: the codec for the gradients that a worker pushes to the ps. It takes the same
                values as `pull`, and codecs that leave values out.
            overlap: whether a worker, while it computes a step, pushes the gradients of the step
                before and pulls for the step after. A pull then misses at most its own worker's
                latest update; all updates are applied when a call of `steps_per_execution` steps
                returns. `added_staleness` in the logs is the mean number of missed updates. Such
                gradients usually need a smaller learning rate. Has no effect if
                `steps_per_execution` is 1.
            lazy_rows: whether a step that looks up rows of a table updates only these rows, and
                only these rows of its slot variables. With False the other rows move, too, as in
                plain Keras, by momentum and weight decay. Both are the same for Adagrad and for SGD
                without momentum.
            bucket_bytes: the most bytes of parameters, before coding, in one message. If a step
                needs more, the parameters of the first layers are pushed, updated and pulled again
                while the gradients of the other layers are still being pushed. So a slow link is
                busy in both directions, and no gradient is late. Each message costs about a
                millisecond of CPU time. None is one message for each ps and direction; if `pull` or
                `push` is `Auto()`, the limit is picked, too. Has no effect if `steps_per_execution`
                is 1.
            update: a policy of `tfps.update`: when updates take effect. None is `Asynchronous()`,
                which applies each gradient when it arrives. With a policy the logs of `fit` have
                figures of the updates.

        Raises:
            TFConfigError: if TF_CONFIG has faults.
            TaskTypeError: if this process is an evaluator.
            TypeError: if `pull` or `push` is not a codec, `Auto()` or None.
            ValueError: if parameters cannot be pulled with the codec `pull`, `bucket_bytes` is
                below 1, or `update` does not suit the cluster or `overlap`.
        """
        _keras.install()
        _tensorflow.inline_functions(_keras.in_step)
        _tensorflow.find_devices()
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
        self._phases = Phases(self._runtime)
        self._keras_hooks = KerasHooks(self._runtime, self._phases, logs_updates=update is not None)
        super().__init__(resolver, partitioner, PsVariableCreation)

    @functools.cached_property
    def coordinator(self) -> tf.distribute.coordinator.ClusterCoordinator:
        """TensorFlow's coordinator for this strategy; the first use starts it."""
        return tf.distribute.coordinator.ClusterCoordinator(self)

    @property
    def bytes_per_ps(self) -> tuple[int, ...]:
        """The bytes of the variables on each ps, without slot variables."""
        balance: ByteBalance = self.extended.balance
        return balance.bytes_per_ps

    @property
    def dropped_updates(self) -> int:
        """The number of updates that were dropped because their gradients were not finite.

        Only a `keras.optimizers.LossScaleOptimizer` drops updates.
        """
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
        """Return a training loop around a step function of your own.

        The step runs on the workers: a worker pulls the parameters that it needs and pushes the
        gradients, as in `model.fit`.

            def step(model, batch):
                x, y = batch
                return tf.reduce_mean(tf.square(model(x, training=True) - y))

            loop = strategy.loop(step, model=model, optimizer=optimizer, data=dataset_fn)
            for _ in range(10):
                print(loop.run(100))

        Args:
            step: a function of (model, batch) that returns a scalar loss, or a pair of the loss and
                a dictionary of scalar metrics. TensorFlow traces it.
            model: a model built in this strategy's scope.
            optimizer: an optimizer created in this strategy's scope.
            data: a function from `tf.distribute.InputContext` to a `tf.data.Dataset` of batches, or
                such a dataset. It should repeat.
            steps_per_execution: the most steps that a worker runs in one call.

        Raises:
            ValueError: if the model has no variables yet, or the step returns no scalar loss.
        """
        return Loop(
            self._runtime,
            step,
            model=model,
            optimizer=optimizer,
            data=data,
            steps_per_execution=steps_per_execution,
        )

    def predictions(
        self,
        model: keras.Model,
        x: Any,
        *,
        batch_size: int | None = None,
        steps: int | None = None,
    ) -> Iterator[Any]:
        """Yield what `model.predict` returns, one batch at a time, in the order of the data.

        For results that do not fit into the chief's memory: it holds those of a few batches. When
        the caller is slow, the workers wait. The iterator is to be read to its end, or closed.

        Args:
            model: a model built in this strategy's scope.
            x: the data, in any form that `model.predict` takes.
            batch_size: the batch size, if `x` is arrays; None is Keras's default.
            steps: the number of batches; None is all.

        Yields:
            The outputs for a batch: a NumPy array, or a structure of them.
        """
        return predictions(self._phases, model, x, batch_size, steps)

    def write_predictions(
        self,
        folder: str,
        model: keras.Model,
        x: Any,
        *,
        batch_size: int | None = None,
        steps: int | None = None,
    ) -> int:
        """Have the workers write what `model.predict` returns to files; none goes to the chief.

        The outputs for batch 12 are in `000000012.npy`, which `numpy.load` reads. If the model has
        several outputs, they are in `000000012-0.npy`, `000000012-1.npy` and so on. bfloat16 is
        written as float32.

        Args:
            folder: a folder that all workers reach, also in a bucket.
            model: a model built in this strategy's scope.
            x: the data, in any form that `model.predict` takes.
            batch_size: the batch size, if `x` is arrays; None is Keras's default.
            steps: the number of batches; None is all.

        Returns:
            The number of batches.

        Raises:
            TypeError: if an output is not a dense tensor of numbers.
        """
        return write_predictions(self._phases, folder, model, x, batch_size, steps)


def default_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Return a resolver for the cluster of TF_CONFIG, or for a new one inside this process.

    Raises:
        TaskTypeError: if this process is an evaluator, which is not part of the cluster.
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
