"""Messages: what travels between a worker and a ps together, and in which format."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

import keras
import tensorflow as tf

from tfps.params.shards import Shard, shards
from tfps.wire.codec import Codec, Identity, Parameter, Shape

Buckets = Mapping[Shard, int]
"""The number of the message, among those of its ps, in which a shard travels; 0 if it has none.

A shard has the same number when it is pulled and when its gradient is pushed, so that each of the
two waits for nothing but the other.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wire:
    """In which format parameters and gradients travel, from a global step on.

    Only trainable variables of float32 and float64 are coded.

    Attributes:
        pull: the codec of what the ps send.
        push: the codec of the gradients that they receive.
        num_ps: how many ps there are.
        bucket_bytes: the most bytes of parameters, before coding, that travel in one message; None
            is all of a ps.
        step: the global step.
        buckets: which shards travel in one message.
    """

    pull: Codec
    push: Codec
    num_ps: int
    bucket_bytes: int | None = None
    step: int = 0
    buckets: Buckets = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.pull.codes_pulls:
            raise ValueError(
                f"pull={self.pull!r}: parameters cannot be pulled with it. What it leaves "
                "out would be missing in every step, and no error feedback makes up for it. Take "
                "Identity, Cast or Int8, and keep this codec for the push."
            )

    @property
    def is_coded(self) -> bool:
        """Whether anything travels otherwise than as it is."""
        return not (isinstance(self.pull, Identity) and isinstance(self.push, Identity))

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps, above 0 and rising, at which a codec gives way to another."""
        return tuple(sorted({*self.pull.boundaries, *self.push.boundaries}))

    def at(self, step: int) -> Wire:
        """Return the wire of a global step; it is the same until the next boundary."""
        return dataclasses.replace(
            self, step=max((b for b in self.boundaries if b <= step), default=0)
        )

    def pulling(self, variable: keras.Variable, shard: Shard, *, rows: bool = False) -> Codec:
        """Return the codec in which a shard, or rows of it, are pulled."""
        return self._codec(self.pull, variable, shard, rows)

    def pushing(self, variable: keras.Variable, shard: Shard, *, rows: bool = False) -> Codec:
        """Return the codec in which gradients by a shard, or by rows of it, are pushed."""
        return self._codec(self.push, variable, shard, rows)

    def _codec(self, codec: Codec, variable: keras.Variable, shard: Shard, rows: bool) -> Codec:
        if not variable.trainable or shard.variable.dtype not in (tf.float32, tf.float64):
            return Identity()
        parameter = Parameter.of(variable.path, variable.shape, rows=rows)
        return codec.for_parameter(parameter, self.step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """Shards on one ps that are coded together, since they have one dtype and one codec."""

    ps: int
    codec: Codec
    shards: list[Shard]

    def decode(self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape]) -> list[tf.Tensor]:
        """Return tensors of these shapes from the parts that the codec made of them."""
        return self.codec.decode(parts, shapes, self.shards[0].variable.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Message:
    """What travels at once between a worker and a ps."""

    ps: int
    bundles: list[Bundle]


def buckets(variables: Iterable[keras.Variable], bucket_bytes: int | None) -> Buckets:
    """Fill messages with shards in the order of `variables`, up to so many bytes.

    A shard that has more is a message of its own. Rows of a table are in the first message, so that
    tables pulled by rows do not belong into `variables`.
    """
    if bucket_bytes is None:
        return {}
    found: dict[Shard, int] = {}
    number: collections.Counter[int] = collections.Counter()
    filled: collections.Counter[int] = collections.Counter()
    for shard in (shard for variable in variables for shard in shards(variable)):
        size = shard.num_elements * shard.variable.dtype.size
        if filled[shard.ps] and filled[shard.ps] + size > bucket_bytes:
            number[shard.ps] += 1
            filled[shard.ps] = 0
        filled[shard.ps] += size
        found[shard] = number[shard.ps]
    return found


def messages(coded: Iterable[tuple[Shard, Codec]], buckets: Buckets) -> list[Message]:
    """Put shards into messages, in the same order each time; those of a ps follow one another."""
    groups: dict[tuple[int, int, str, Codec], list[Shard]] = collections.defaultdict(list)
    for shard, codec in coded:
        bucket = buckets.get(shard, 0)
        groups[shard.ps, bucket, shard.variable.dtype.name, codec].append(shard)
    found = sorted(groups.items(), key=lambda item: item[0][:3])
    return [
        Message(
            ps=ps, bundles=[Bundle(ps=ps, codec=key[-1], shards=group) for key, group in together]
        )
        for (ps, _), together in itertools.groupby(found, lambda item: item[0][:2])
    ]
