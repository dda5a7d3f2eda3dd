"""What a codec is, and the one that changes nothing."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf
from typing_extensions import override

Shape = Sequence[int | tf.Tensor]
"""The shape of a tensor; a number of rows that is known only when the step runs is a scalar int32
tensor, on the device of the receiver."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """What a codec is chosen for.

    Attributes:
        name: the path of the variable, as in `encoder/layer_0/query/kernel`.
        shape: of the variable, of all its shards together.
        rows: whether only the rows that a batch needs travel, and not the whole.
        protected: whether it stays as it is unless a policy says otherwise: biases, norms and other
            vectors, and what is too small to matter. They are sensitive, and few bytes.
    """

    name: str
    shape: tuple[int, ...]
    rows: bool = False
    protected: bool = False

    @classmethod
    def of(cls, name: str, shape: Sequence[int], *, rows: bool = False) -> Parameter:
        """Describe a parameter, with the default rule for what is protected."""
        small = len(shape) < 2 or math.prod(shape) < _FEW_ELEMENTS
        return cls(name=name, shape=tuple(shape), rows=rows, protected=small and not rows)


_FEW_ELEMENTS = 1024


@dataclasses.dataclass(frozen=True)
class Encoded:
    """What `Codec.encode` gives.

    Attributes:
        parts: the tensors that travel, of any dtypes and shapes.
        state: what the sender keeps for the next step, like `Codec.initial_state`.
    """

    parts: Sequence[tf.Tensor]
    state: Sequence[tf.Tensor] = ()


class Codec(abc.ABC):
    """A format in which floating tensors travel: encoded by the sender, decoded by the receiver.

    A codec is a value: a frozen dataclass of numbers and other codecs, equal to those with the same
    numbers. What it remembers from step to step is passed in and out. It is called in functions,
    once for all tensors that travel together and have the same codec.

    A NaN or an infinity never disappears: where one is encoded, the decoded tensors hold one that
    is not finite.
    """

    @property
    def codes_pulls(self) -> bool:
        """Whether parameters may be pulled with it.

        What a pull leaves out no error feedback makes up for.
        """
        return False

    @property
    def codes_rows(self) -> bool:
        """Whether it suits the rows of tables, of which every step has others."""
        return False

    @abc.abstractmethod
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        """Encode tensors; on the device of the sender.

        Args:
            tensors: float32 or float64, all of one dtype.
            seed: int32, of shape `(2,)`, another one at each step: for what is random.
            state: of `initial_state` at first, then what the last call gave.
        """

    @abc.abstractmethod
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        """Return the tensors, of these shapes and this dtype; on the device of the receiver."""

    def initial_state(self, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
        """Return what the sender of tensors of these shapes begins with; none by default."""
        del shapes
        return []

    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        """Return the codec for one parameter, at a global step; it holds no policy."""
        del step
        if parameter.protected or (parameter.rows and not self.codes_rows):
            return Identity()
        return self

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps, above 0 and rising, at which `for_parameter` begins to give others."""
        return ()


@dataclasses.dataclass(frozen=True)
class Identity(Codec):
    """The tensors as they are. Exact."""

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
    """A codec that sees all tensors as one vector."""

    @abc.abstractmethod
    def encode_vector(self, vector: tf.Tensor, seed: tf.Tensor) -> Sequence[tf.Tensor]:
        """Encode a vector of any length, also 0."""

    @abc.abstractmethod
    def decode_vector(
        self, parts: Sequence[tf.Tensor], size: int | tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        """Return the vector of `size` elements."""

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
    """Concatenate tensors of one dtype and any shapes into one of shape `(elements,)`."""
    flat = [tf.reshape(tensor, [-1]) for tensor in tensors]
    return flat[0] if len(flat) == 1 else tf.concat(flat, axis=0)


def unpack(packed: tf.Tensor, shapes: Sequence[Shape]) -> list[tf.Tensor]:
    """Return the tensors of the given shapes that `pack` made `packed` of."""
    sizes = [num_elements(shape) for shape in shapes]
    pieces = [packed] if len(sizes) == 1 else tf.split(packed, sizes, num=len(sizes))
    return [_reshaped(piece, shape) for piece, shape in zip(pieces, shapes, strict=True)]


def length(vector: tf.Tensor) -> int | tf.Tensor:
    """Return how many elements a vector has: int, or a scalar int32 tensor."""
    static = vector.shape[0]
    return tf.size(vector) if static is None else static


def shape_of(tensor: tf.Tensor) -> Shape:
    """Return the shape of a tensor of known rank, with int sizes where they are static."""
    return [
        tf.shape(tensor)[axis] if size is None else size for axis, size in enumerate(tensor.shape)
    ]


def num_elements(shape: Shape) -> int | tf.Tensor:
    """Return how many elements a tensor of this shape has: int, or a scalar int32 tensor."""
    count: int | tf.Tensor = 1
    for size in shape:
        count = count * size
    return count


def num_bytes(parts: Sequence[tf.Tensor]) -> int | tf.Tensor:
    """Return the bytes of some tensors: int, or a scalar int64 tensor where sizes are not static.

    A string counts its bytes.
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
    # The one size that is not static follows from the others.
    return tf.reshape(piece, [-1 if size is None else size for size in static])
