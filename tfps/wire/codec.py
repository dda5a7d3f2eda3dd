"""The interface of a codec, and the codec that changes nothing."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf
from typing_extensions import override

Shape = Sequence[int | tf.Tensor]
"""The shape of a tensor. A number of rows that is only known when the step runs is a scalar int32
tensor on the device of the receiver."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter for which a codec is chosen.

    Attributes:
        name: the path of the variable, as in `encoder/layer_0/query/kernel`.
        shape: the shape of the whole variable, not of a shard.
        rows: whether only the rows that a batch needs travel.
        protected: whether it travels uncoded unless a policy says otherwise: biases, norms and
            other vectors, and very small parameters. They are sensitive, and have few bytes.
    """

    name: str
    shape: tuple[int, ...]
    rows: bool = False
    protected: bool = False

    @classmethod
    def of(cls, name: str, shape: Sequence[int], *, rows: bool = False) -> Parameter:
        """Return the parameter; vectors, and less than 1,024 elements, are protected."""
        small = len(shape) < 2 or math.prod(shape) < _FEW_ELEMENTS
        return cls(name=name, shape=tuple(shape), rows=rows, protected=small and not rows)


_FEW_ELEMENTS = 1024


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The result of `Codec.encode`.

    Attributes:
        parts: the tensors that travel, of any dtypes and shapes.
        state: the state that the sender keeps for the next step, like `Codec.initial_state`.
    """

    parts: Sequence[tf.Tensor]
    state: Sequence[tf.Tensor] = ()


class Codec(abc.ABC):
    """Base class of codecs, the formats in which floating-point tensors travel.

    The sender encodes on its device, and the receiver decodes on its own. A codec is a frozen
    dataclass of numbers and other codecs, and equal to any codec with the same fields. Its state
    from step to step is passed in and returned. `encode` and `decode` are traced in functions, and
    called once for all tensors that travel together in the codec.

    A NaN or an infinity never disappears: if one is encoded, the decoded tensors hold a value that
    is not finite.

    A codec of your own implements `encode` and `decode`.
    """

    @property
    def codes_pulls(self) -> bool:
        """Whether it may be used for pulls: no error feedback makes up for values left out."""
        return False

    @property
    def codes_rows(self) -> bool:
        """Whether it may be used for rows of tables, which differ from step to step."""
        return False

    @abc.abstractmethod
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        """Return tensors encoded; called on the device of the sender.

        Args:
            tensors: tensors of one dtype, float32 or float64, and of any shapes.
            seed: a seed for random numbers, int32, of shape `(2,)`, which differs in each step.
            state: the result of `initial_state` in the first call, and in each later call the state
                that the last call returned.
        """

    @abc.abstractmethod
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        """Return the decoded tensors, of these shapes; called on the device of the receiver."""

    def initial_state(self, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
        """Return the first state of a sender of tensors of these shapes; by default, none."""
        del shapes
        return []

    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        """Return the codec for a parameter at a global step; the result contains no policy."""
        del step
        if parameter.protected or (parameter.rows and not self.codes_rows):
            return Identity()
        return self

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps, above 0 and rising, at which the result of `for_parameter` changes."""
        return ()


@dataclasses.dataclass(frozen=True)
class Identity(Codec):
    """Sends tensors uncoded. Exact."""

    codes_pulls: ClassVar[bool] = True
    codes_rows: ClassVar[bool] = True

    @override
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        del seed, state
        return Encoded([pack(tensors)])

    @override
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        del dtype
        return unpack(parts[0], shapes)


class VectorCodec(Codec):
    """Base class of codecs that encode all tensors together, as one vector."""

    @abc.abstractmethod
    def encode_vector(self, vector: tf.Tensor, seed: tf.Tensor) -> Sequence[tf.Tensor]:
        """Return a vector of any length, 0 included, encoded."""

    @abc.abstractmethod
    def decode_vector(
        self, parts: Sequence[tf.Tensor], size: int | tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        """Return the decoded vector, of `size` elements."""

    @override
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        del state
        return Encoded(self.encode_vector(pack(tensors), seed))

    @override
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        size = sum(num_elements(shape) for shape in shapes)
        return unpack(self.decode_vector(parts, size, dtype), shapes)


def pack(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Concatenate tensors of one dtype and any shapes into a vector."""
    flat = [tf.reshape(tensor, [-1]) for tensor in tensors]
    return flat[0] if len(flat) == 1 else tf.concat(flat, axis=0)


def unpack(packed: tf.Tensor, shapes: Sequence[Shape]) -> list[tf.Tensor]:
    """Return the tensors, of these shapes, that `pack` concatenated into `packed`."""
    sizes = [num_elements(shape) for shape in shapes]
    pieces = [packed] if len(sizes) == 1 else tf.split(packed, sizes, num=len(sizes))
    return [_reshaped(piece, shape) for piece, shape in zip(pieces, shapes, strict=True)]


def length(vector: tf.Tensor) -> int | tf.Tensor:
    """Return the number of elements of a vector: int, or a scalar int32 tensor."""
    static = vector.shape[0]
    return tf.size(vector) if static is None else static


def shape_of(tensor: tf.Tensor) -> Shape:
    """Return the shape of a tensor of known rank; sizes that are static are ints."""
    return [
        tf.shape(tensor)[axis] if size is None else size for axis, size in enumerate(tensor.shape)
    ]


def num_elements(shape: Shape) -> int | tf.Tensor:
    """Return the number of elements of a tensor of this shape: int, or a scalar int32 tensor."""
    count: int | tf.Tensor = 1
    for size in shape:
        count = count * size
    return count


def num_bytes(parts: Sequence[tf.Tensor]) -> int | tf.Tensor:
    """Return the bytes of tensors: int, or a scalar int64 tensor if not all sizes are static.

    The bytes of a string tensor are those of its strings.
    """
    count: int | tf.Tensor = 0
    for part in parts:
        if part.dtype == tf.string:
            count = count + tf.reduce_sum(tf.cast(tf.strings.length(part), tf.int64))
            continue
        static = part.shape.num_elements()
        elements = tf.size(part, tf.int64) if static is None else static
        count = count + elements * part.dtype.size
    return count


def _reshaped(piece: tf.Tensor, shape: Shape) -> tf.Tensor:
    static = [size if isinstance(size, int) else None for size in shape]
    # At most one size is not static, and it follows from the others.
    return tf.reshape(piece, [-1 if size is None else size for size in static])
