"""The workers' datasets and iterators; no cluster: they lie in this process."""

from __future__ import annotations

import threading
import time
from concurrent import futures

import tensorflow as tf

from tfps.training.data import as_source
from tfps.training.feed import ShareFeed

N, WORKERS = 24, 2


def read(feed: ShareFeed, worker: int, batches: int | None = None) -> list[int]:
    found = []
    for batch in feed.iterator(worker, 1):
        found += batch.numpy().tolist()
        feed.count(worker, 1)
        if batches is not None and len(found) >= 2 * batches:
            break
    return found


def test_data_functions_are_called_one_at_a_time() -> None:
    # What they share, as a Keras layer that builds itself, need not be safe for threads.
    free = threading.Lock()

    def function(context: tf.distribute.InputContext) -> tf.data.Dataset:
        assert free.acquire(blocking=False)
        time.sleep(0.05)
        free.release()
        return tf.data.Dataset.range(2).batch(1)

    feed = ShareFeed(as_source(function, batch_size=None, shuffle=False), 4)
    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(feed.build, range(4)))


def test_a_worker_that_was_lost_keeps_to_the_order_of_the_others() -> None:
    shuffled = tf.data.Dataset.range(N).shuffle(N).batch(2)
    feed = ShareFeed(as_source(shuffled, batch_size=None, shuffle=False), WORKERS)
    for worker in range(WORKERS):
        feed.build(worker)
    feed.unify_types()
    for epoch in range(4):
        feed.start_epoch()
        found = read(feed, 0)
        if epoch == 2:
            found += read(feed, 1, batches=2)
            feed.rebuild(1)
        found += read(feed, 1)
        assert sorted(found) == list(range(N)), f"epoch {epoch}"
