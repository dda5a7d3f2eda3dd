"""Lossless: compresses what another codec sends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import Codec, Encoded, Identity, Parameter, Shape


@dataclasses.dataclass(frozen=True)
class Lossless(Codec):
    """Compresses the output of another codec with snappy, on the CPU, without loss.

    Snappy finds repeated bytes. It helps with zeros (5 % of the bytes remain), with gradients of
    which one number in a hundred is not zero (6 %), and with Int8 if few numbers of a block are
    large (half). It does not help with normally distributed numbers, whatever the codec, nor with
    TopK; it then costs 20 ms to encode and 15 ms to decode 12.6 MB of float32.
    `python -m benchmarks.codecs` measures it.

    Attributes:
        codec: the codec whose output is compressed.
    """

    codec: Codec = dataclasses.field(default_factory=Identity)

    @property
    @override
    def codes_pulls(self) -> bool:
        return self.codec.codes_pulls

    @property
    @override
    def codes_rows(self) -> bool:
        return self.codec.codes_rows

    @property
    @override
    def boundaries(self) -> tuple[int, ...]:
        return self.codec.boundaries

    @override
    def initial_state(self, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
        return self.codec.initial_state(shapes)

    @override
    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        """Return this codec around the chosen one, or Identity if the parameter travels uncoded."""
        chosen = self.codec.for_parameter(parameter, step)
        if chosen == Identity() and (parameter.protected or chosen != self.codec):
            return chosen
        return dataclasses.replace(self, codec=chosen)

    @override
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        encoded = self.codec.encode(tensors, seed=seed, state=state)
        element = tf.raw_ops.CompressElement(components=list(encoded.parts))
        # The bytes of a string can be counted, those of a variant cannot.
        return Encoded([tf.io.serialize_tensor(element)], encoded.state)

    @override
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        specs = _part_specs(self.codec, shapes, dtype)
        inner = tf.raw_ops.UncompressElement(
            compressed=tf.io.parse_tensor(parts[0], tf.variant),
            output_types=[spec.dtype for spec in specs],
            output_shapes=[spec.shape for spec in specs],
        )
        return self.codec.decode(inner, shapes, dtype)


def _part_specs(codec: Codec, shapes: Sequence[Shape], dtype: tf.DType) -> list[tf.TensorSpec]:
    """Return the dtypes and static shapes of the parts of tensors of these shapes."""

    def parts(tensors: Sequence[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
        return list(codec.encode(tensors, seed=seed, state=codec.initial_state(shapes)).parts)

    static = [[size if isinstance(size, int) else None for size in shape] for shape in shapes]
    tensors = [tf.TensorSpec(shape, dtype) for shape in static]
    traced = tf.function(parts, autograph=False).get_concrete_function(
        tensors, tf.TensorSpec([2], tf.int32)
    )
    return [tf.TensorSpec(part.shape, part.dtype) for part in traced.structured_outputs]
