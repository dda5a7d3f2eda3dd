"""Which shards travel in one message."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from tfps.params.shards import Shard
from tfps.transport import messages
from tfps.wire import Cast, Identity


@pytest.fixture
def shards(monkeypatch: pytest.MonkeyPatch) -> list[Shard]:
    """Give shards of 400, 400, 8, 800 and 400 bytes, all on ps 1 but the third."""
    made = [
        Shard(variable=tf.Variable(tf.zeros([rows])), ps=0 if index == 2 else 1, first_row=0)
        for index, rows in enumerate([100, 100, 2, 200, 100])
    ]

    def of(one: Any) -> tuple[Shard, ...]:
        return (one,)

    monkeypatch.setattr(messages, "shards", of)
    return made


@pytest.mark.parametrize(
    ("bucket_bytes", "numbers"),
    [
        (1, [0, 1, 0, 2, 3]),
        (799, [0, 1, 0, 2, 3]),
        (800, [0, 0, 0, 1, 2]),
        (1200, [0, 0, 0, 1, 1]),
        (2000, [0] * 5),
    ],
)
def test_buckets_are_filled_in_order(
    shards: list[Shard], bucket_bytes: int, numbers: list[int]
) -> None:
    found = messages.buckets(shards, bucket_bytes)  # type: ignore[arg-type]
    assert [found[shard] for shard in shards] == numbers


def test_without_buckets_a_ps_has_one_message_with_a_bundle_of_each_codec(
    shards: list[Shard],
) -> None:
    assert messages.buckets([], None) == {}
    codecs = [Identity(), Cast(), Cast(), Cast(), Identity()]
    found = messages.messages(zip(shards, codecs, strict=True), {})
    assert list(found) == [0, 1]
    (message,) = found[1]
    assert [bundle.codec for bundle in message] == [Identity(), Cast()]
    assert [len(bundle.shards) for bundle in message] == [2, 2]
    assert [bundle.ps for bundle in message] == [1, 1]


def test_messages_of_a_ps_come_in_the_order_of_their_buckets(shards: list[Shard]) -> None:
    buckets = messages.buckets(shards, 800)  # type: ignore[arg-type]
    coded = [(shard, Identity()) for shard in reversed(shards)]
    found = messages.messages(coded, buckets)
    assert list(found) == [0, 1]
    assert [[len(bundle.shards) for bundle in message] for message in found[0]] == [[1]]
    assert [[len(bundle.shards) for bundle in message] for message in found[1]] == [[2], [1], [1]]
