"""Update policies on real ps: when gradients take effect, and what is said of it."""

from __future__ import annotations

import threading
import time
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers
from tensorflow.python.data.experimental.ops import testing

import tfps
from tests.cluster.conftest import NUM_WORKERS, MakeStrategy
from tests.cluster.row_model import ROWS, row_model
from tfps import wire
from tfps.update import Asynchronous, SemiSynchronous, Synchronous, inverse_staleness

SLOW = pytest.mark.slow
STEPS, BATCH = 60, 4
SLOW_MICROSECONDS = 5000


def data(context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Give ids and what to learn from them; the first worker is slower than the others."""
    ids = tf.data.Dataset.random(seed=5 + context.input_pipeline_id)
    pairs = ids.map(lambda i: (i % ROWS, tf.cast(i % ROWS, tf.float32) / ROWS)).batch(BATCH)
    slow = context.input_pipeline_id == 0
    return pairs.apply(testing.sleep(SLOW_MICROSECONDS)) if slow else pairs


def fit(strategy: tfps.ParameterServerStrategy, **arguments: Any) -> keras.callbacks.History:
    with strategy.scope():
        model = row_model(**arguments)
    return model.fit(data, steps_per_epoch=STEPS, verbose=0)


@pytest.mark.parametrize(
    ("update", "steps_per_execution"),
    [(None, 5), (Asynchronous(rate_scale=inverse_staleness), 1)],
    ids=["5", "inverse-1"],
)
def test_each_gradient_makes_an_update_at_once(
    make_strategy: MakeStrategy, update: Any, steps_per_execution: int
) -> None:
    history = fit(make_strategy(update=update), steps_per_execution=steps_per_execution)
    [updates] = history.updates
    assert updates.updates == STEPS
    assert updates.staleness.shape[0] == NUM_WORKERS
    on_each_ps = updates.measured.staleness.sum(axis=(1, 2))
    assert set(on_each_ps.tolist()) <= {0, STEPS}
    assert updates.dropped.sum() == 0
    assert updates.waited_s.sum() == 0
    if update is None:  # without a policy logs stay those of Keras
        assert set(history.history) == {"loss"}


def test_what_only_one_worker_does_is_not_stale(make_strategy: MakeStrategy) -> None:
    def of_one(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return data(context).take(STEPS if context.input_pipeline_id == 0 else 0)

    with make_strategy(overlap=True).scope():
        model = row_model(steps_per_execution=4)
    [updates] = model.fit(of_one, verbose=0).updates
    assert updates.updates == STEPS
    assert updates.max_staleness == 0


class Meeting(keras.callbacks.Callback):
    """Has the first worker push only after all `steps` of the second, which it precedes."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.pulled, self.over = threading.Event(), threading.Event()

    def data(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Give one batch of a 1 to the first worker, and `steps` of a 0 to the second."""
        first = context.input_pipeline_id == 0
        batch = np.full((1, 1), first, "float32")
        steps = [1, self.steps, *[0] * NUM_WORKERS][context.input_pipeline_id]
        return tf.data.Dataset.from_tensors((batch, batch)).repeat(steps)

    def loss(self, is_first: Any, predicted: Any) -> Any:
        met = tf.numpy_function(self._meet, [is_first, tf.stop_gradient(predicted)], tf.float32)
        # The gradient depends on it, and so does the push.
        return keras.ops.mean(predicted) * tf.ensure_shape(met, [])

    def _meet(self, is_first: np.ndarray, _: np.ndarray) -> np.float32:
        if is_first.any():
            self.pulled.set()
        assert (self.over if is_first.any() else self.pulled).wait(60)
        return np.float32(1)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        give_up = time.monotonic() + 20  # a ps makes an update soon after its step has ended
        # No worker starts a dispatch while this runs.
        while int(self.model.optimizer.iterations.numpy()) < min(batch + 1, self.steps):
            assert time.monotonic() < give_up
        if batch + 1 >= self.steps:
            self.over.set()


@pytest.mark.parametrize(("bound", "steps_per_execution"), [(None, 1), (None, 3), (3, 3), (2, 3)])
def test_a_gradient_is_as_stale_as_updates_came_before_it(
    make_strategy: MakeStrategy, bound: int | None, steps_per_execution: int
) -> None:
    meeting = Meeting(steps=3)
    with make_strategy(update=Asynchronous(max_staleness=bound)).scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        model.compile("sgd", meeting.loss, steps_per_execution=steps_per_execution)
    [updates] = model.fit(meeting.data, verbose=0, callbacks=[meeting]).updates
    first, second = updates.staleness[0], updates.staleness[1]
    assert np.flatnonzero(second).tolist() == [0]
    dropped = bound is not None and bound < 3
    assert np.flatnonzero(first).tolist() == ([] if dropped else [3])
    assert updates.dropped[0] == dropped


@pytest.mark.slow
@pytest.mark.parametrize(("bound", "steps_per_execution"), [(0, 5), (1, 1)])
def test_what_is_too_stale_is_dropped(
    make_strategy: MakeStrategy, bound: int, steps_per_execution: int
) -> None:
    strategy = make_strategy(2, update=Asynchronous(max_staleness=bound))
    history = fit(strategy, steps_per_execution=steps_per_execution)
    [updates] = history.updates
    taken = updates.measured.staleness.sum(axis=(1, 2)) + updates.measured.dropped.sum(axis=1)
    assert taken.tolist() == [STEPS, STEPS]
    assert updates.max_staleness <= bound
    assert updates.dropped.sum() > 0
    assert history.history["dropped_gradients"] == [updates.dropped.sum()]


@pytest.mark.parametrize(("bound", "steps_per_execution"), [pytest.param(0, 1, marks=SLOW), (1, 5)])
def test_no_gradient_is_too_stale_where_steps_wait(
    make_strategy: MakeStrategy, bound: int, steps_per_execution: int
) -> None:
    strategy = make_strategy(2, update=Asynchronous(max_staleness=bound, above="wait"))
    [updates] = fit(strategy, steps_per_execution=steps_per_execution).updates
    assert updates.updates == STEPS
    assert updates.max_staleness <= bound
    assert updates.dropped.sum() == 0
    assert updates.waited_s.sum() > 0


def test_semi_synchronous_updates_are_of_a_quorum(make_strategy: MakeStrategy) -> None:
    quorum = 3
    with make_strategy(2, update=SemiSynchronous(quorum=quorum)).scope():
        model = row_model(steps_per_execution=5)
    [updates] = model.fit(data, steps_per_epoch=STEPS, verbose=0).updates
    assert updates.measured.updates.tolist() == [STEPS // quorum] * 2
    assert int(model.optimizer.iterations.numpy()) == STEPS // quorum


BUCKETS = {"pull": wire.Int8(), "push": wire.ErrorFeedback(wire.TopK(0.5)), "bucket_bytes": 64}
LOSSLESS = {"push": wire.Lossless(), "lazy_rows": False}


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        pytest.param(
            lambda: optimizers.Adam(0.05, use_ema=True, ema_overwrite_frequency=7),
            BUCKETS,
            marks=SLOW,
        ),
        pytest.param(
            lambda: optimizers.SGD(0.2, momentum=0.9, gradient_accumulation_steps=3),
            LOSSLESS,
            marks=SLOW,
        ),
        pytest.param(
            lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.05)),
            BUCKETS,
            marks=SLOW,
        ),
    ],
    ids=["averages-buckets", "accumulation-lossless", "loss scale-buckets"],
)
def test_a_synchronous_model_learns_with_rows_codecs_and_optimizers(
    make_strategy: MakeStrategy, make: Any, arguments: dict[str, Any]
) -> None:
    with make_strategy(2, update=Synchronous(), **arguments).scope():
        model = row_model(make(), steps_per_execution=4)
    losses = model.fit(data, epochs=3, steps_per_epoch=2 * STEPS, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]


def test_logs_and_a_table_tell_of_the_updates(
    make_strategy: MakeStrategy, capsys: pytest.CaptureFixture[str]
) -> None:
    with make_strategy(update=Synchronous()).scope():
        model = row_model()
    fitted = model.fit(data, epochs=2, steps_per_epoch=STEPS, verbose=2)
    slow, *others = fitted.updates[-1].waited_s
    assert slow < min(others)
    history = fitted.history
    assert history["mean_staleness"] == history["max_staleness"] == [0, 0]
    assert min(history["updates_per_s"]) > 0
    assert min(history["waited_s"]) > 0
    said = capsys.readouterr().out
    assert f"{2 * STEPS // NUM_WORKERS} updates" in said
    assert "waited" in said


def test_what_cannot_be_combined_is_refused(make_strategy: MakeStrategy) -> None:
    with pytest.raises(ValueError, match=r"overlap=True with update=Synchronous"):
        make_strategy(update=Synchronous(), overlap=True)
    with pytest.raises(NotImplementedError, match="Nadam has a number that all ps update"):
        fit(make_strategy(update=Synchronous()), optimizer="nadam")
    with pytest.raises(ValueError, match=f"has {NUM_WORKERS} workers"):
        make_strategy(update=Synchronous(backup_workers=NUM_WORKERS))
