"""What each worker keeps for itself; threads stand for workers."""

from __future__ import annotations

from concurrent import futures

import tensorflow as tf

from tfps.step.discover import discover
from tfps.worker import per_worker
from tfps.worker.per_worker import PerWorker, keep_captures


def test_each_thread_makes_its_own_once_and_again_for_a_version_or_a_new_life() -> None:
    made: list[int] = []
    kept = PerWorker(lambda: made.append(len(made)) or made[-1])

    def work() -> list[int]:
        per_worker.reset()
        found = [kept.get(), kept.get(), kept.get(version=1), kept.get(version=1)]
        per_worker.reset()
        return [*found, kept.get(version=1)]

    with futures.ThreadPoolExecutor(1) as first, futures.ThreadPoolExecutor(1) as second:
        assert first.submit(work).result() == [0, 0, 1, 1, 2]
        assert second.submit(work).result() == [3, 3, 4, 4, 5]


def test_captured_tensors_and_tables_are_copied_once_and_give_the_same() -> None:
    words, numbers = tf.constant(["a", "b"]), tf.constant([10, 20], tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, numbers), -1)
    scale = tf.Variable(2, dtype=tf.int64)
    offset = tf.constant([100], tf.int64)
    demand = discover(lambda batch: table.lookup(batch), tf.TensorSpec([None], tf.string))

    @tf.function
    def function(batch: tf.Tensor) -> tf.Tensor:
        return table.lookup(batch) * scale + offset

    traced = function.get_concrete_function(tf.TensorSpec([None], tf.string))
    keep_captures(traced, demand.lookup_tables)
    deferred = [capture for capture in traced._captured_inputs if callable(capture)]
    assert len(deferred) == 3  # the table, its default value, the offset; the variable stays
    batch = tf.constant(["b", "x"])
    assert traced(batch).numpy().tolist() == [140, 98]
    scale.assign(3)
    assert traced(batch).numpy().tolist() == [160, 97]
    for capture in deferred:
        assert capture() is capture()
