"""Messages: which shards travel together between a worker and a ps, and in which format."""

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
    """The format in which parameters and gradients travel, from a global step on.

    Only trainable variables of dtype float32 or float64 are coded.

    Attributes:
        pull: the codec of the parameters that a worker pulls.
        push: the codec of the gradients that a worker pushes.
        num_ps: the number of ps.
        bucket_bytes: the maximum bytes of parameters in one message, before coding; None puts all
            parameters of a ps into one message.
        step: the global step.
        buckets: the message of each shard.
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
        """Whether the pull or the push has a codec other than Identity."""
        return not (isinstance(self.pull, Identity) and isinstance(self.push, Identity))

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps at which a codec changes, above 0 and in rising order."""
        return tuple(sorted({*self.pull.boundaries, *self.push.boundaries}))

    def at(self, step: int) -> Wire:
        """Return the format at a global step; it stays the same until the next boundary."""
        return dataclasses.replace(
            self, step=max((b for b in self.boundaries if b <= step), default=0)
        )

    def pulling(self, variable: keras.Variable, shard: Shard, *, rows: bool = False) -> Codec:
        """Return the codec with which a shard, or rows of it, are pulled."""
        return self._codec(self.pull, variable, shard, rows)

    def pushing(self, variable: keras.Variable, shard: Shard, *, rows: bool = False) -> Codec:
        """Return the codec with which gradients of a shard, or of its rows, are pushed."""
        return self._codec(self.push, variable, shard, rows)

    def _codec(self, codec: Codec, variable: keras.Variable, shard: Shard, rows: bool) -> Codec:
        if not variable.trainable or shard.variable.dtype not in (tf.float32, tf.float64):
            return Identity()
        parameter = Parameter.of(variable.path, variable.shape, rows=rows)
        return codec.for_parameter(parameter, self.step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """Shards on one ps that are coded together: they have the same dtype and codec."""

    ps: int
    codec: Codec
    shards: list[Shard]

    def decode(self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape]) -> list[tf.Tensor]:
        """Return the tensors, of these shapes, from their encoded parts."""
        return self.codec.decode(parts, shapes, self.shards[0].variable.dtype)


Message = list[Bundle]
"""The bundles that travel together between a worker and a ps."""


def buckets(variables: Iterable[keras.Variable], bucket_bytes: int | None) -> Buckets:
    """Distribute shards over messages of at most `bucket_bytes`, in the order of `variables`.

    A shard that is larger has a message of its own. Rows travel in the first message of their ps:
    leave tables that are pulled by row out of `variables`.
    """
    if bucket_bytes is None:
        return {}
    assigned: dict[Shard, int] = {}
    current: collections.Counter[int] = collections.Counter()
    filled_bytes: collections.Counter[int] = collections.Counter()
    for shard in (shard for variable in variables for shard in shards(variable)):
        ps, size = shard.ps, shard.num_elements * shard.variable.dtype.size
        if filled_bytes[ps] and filled_bytes[ps] + size > bucket_bytes:
            current[ps] += 1
            filled_bytes[ps] = 0
        filled_bytes[ps] += size
        assigned[shard] = current[ps]
    return assigned


def messages(coded: Iterable[tuple[Shard, Codec]], buckets: Buckets) -> dict[int, list[Message]]:
    """Put shards, each with its codec, into messages.

    Returns:
        For each ps, by its index, its messages in the order in which they travel.
    """
    groups: dict[tuple[int, int, str, Codec], list[Shard]] = collections.defaultdict(list)
    for shard, codec in coded:
        bucket = buckets.get(shard, 0)
        groups[shard.ps, bucket, shard.variable.dtype.name, codec].append(shard)
    ordered = sorted(groups.items(), key=lambda item: item[0][:3])
    by_ps: dict[int, list[Message]] = {}
    for (ps, _), bundles in itertools.groupby(ordered, lambda item: item[0][:2]):
        message = [Bundle(ps=ps, codec=key[-1], shards=group) for key, group in bundles]
        by_ps.setdefault(ps, []).append(message)
    return by_ps
