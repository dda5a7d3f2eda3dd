"""The workers' datasets and iterators; no cluster: they lie in this process."""

from __future__ import annotations

import tensorflow as tf

from tfps.training.data import as_source
from tfps.training.feed import Feed

N, WORKERS = 24, 2


def read(feed: Feed, worker: int, batches: int | None = None) -> list[int]:
    found = []
    for batch in feed.iterator(worker):
        found += batch.numpy().tolist()
        feed.count(worker, 1)
        if batches is not None and len(found) >= 2 * batches:
            break
    return found


def test_a_worker_that_was_lost_keeps_to_the_order_of_the_others() -> None:
    shuffled = tf.data.Dataset.range(N).shuffle(N).batch(2)
    feed = Feed(as_source(shuffled, batch_size=None, shuffle=False), WORKERS)
    for worker in range(WORKERS):
        feed.build(worker)
    feed.agree()
    for epoch in range(4):
        feed.start_epoch()
        found = read(feed, 0)
        if epoch == 2:
            found += read(feed, 1, batches=2)
            feed.rebuild(1)
        found += read(feed, 1)
        assert sorted(found) == list(range(N)), f"epoch {epoch}"
