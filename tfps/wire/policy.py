"""Codec policies: they choose a codec for each parameter and global step."""

from __future__ import annotations

import abc
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import Codec, Encoded, Identity, Parameter, Shape


class CodecPolicy(Codec):
    """Base class of policies: codecs that choose another codec, which then encodes and decodes.

    A policy may be used wherever a codec is expected, also inside of policies and other codecs. A
    policy of your own implements `choices` and `for_parameter`.
    """

    @property
    @abc.abstractmethod
    def choices(self) -> tuple[Codec, ...]:
        """All codecs that the policy may choose."""

    @property
    @override
    def codes_pulls(self) -> bool:
        return all(codec.codes_pulls for codec in self.choices)

    @property
    @override
    def codes_rows(self) -> bool:
        return all(codec.codes_rows for codec in self.choices)

    @property
    @override
    def boundaries(self) -> tuple[int, ...]:
        return tuple(sorted({step for codec in self.choices for step in codec.boundaries}))

    @abc.abstractmethod
    @override
    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        """Return the codec for a parameter at a global step; the result contains no policy."""

    @override
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        self._refuse()

    @override
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        self._refuse()

    @override
    def initial_state(self, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is a policy, which only chooses. Ask its for_parameter for the codec of a "
            "parameter, and encode and decode with that."
        )


@dataclasses.dataclass(frozen=True)
class BySize(CodecPolicy):
    """Chooses one codec for large parameters, and another one for small parameters and vectors.

    It replaces the default rule that small parameters and vectors travel uncoded.

    Attributes:
        codec: the codec of large parameters.
        min_elements: the smallest number of elements of a large parameter, of all shards together.
        min_rank: the smallest number of axes of a large parameter.
        small: the codec of all other parameters.
    """

    codec: Codec
    min_elements: int = 1024
    min_rank: int = 2
    small: Codec = dataclasses.field(default_factory=Identity)

    def __post_init__(self) -> None:
        for name in ("min_elements", "min_rank"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"BySize: {name} is {value!r}; it is an int, at least 0.")

    @property
    @override
    def choices(self) -> tuple[Codec, ...]:
        return self.codec, self.small

    @override
    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        shape = parameter.shape
        large = len(shape) >= self.min_rank and math.prod(shape) >= self.min_elements
        chosen = self.codec if large else self.small
        return chosen.for_parameter(dataclasses.replace(parameter, protected=False), step)


@dataclasses.dataclass(frozen=True)
class ByName(CodecPolicy):
    """Chooses by the parameter's name: the codec of the first regular expression that matches.

    A parameter that matches is coded however small it is. The default rule, that small parameters
    and vectors travel uncoded, holds for the others.

    Attributes:
        codecs: regular expressions for `re.search`, and their codecs: a mapping or pairs; stored
            as pairs.
        otherwise: the codec of all other parameters.
    """

    codecs: Mapping[str, Codec] | tuple[tuple[str, Codec], ...]
    otherwise: Codec = dataclasses.field(default_factory=Identity)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codecs", self._pairs)
        for expression, _ in self._pairs:
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(
                    f"ByName: {expression!r} is not a regular expression: {error}."
                ) from error

    @property
    @override
    def choices(self) -> tuple[Codec, ...]:
        return *(codec for _, codec in self._pairs), self.otherwise

    @override
    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        for expression, codec in self._pairs:
            if re.search(expression, parameter.name):
                return codec.for_parameter(dataclasses.replace(parameter, protected=False), step)
        return self.otherwise.for_parameter(parameter, step)

    @property
    def _pairs(self) -> tuple[tuple[str, Codec], ...]:
        codecs = self.codecs
        return tuple(codecs.items() if isinstance(codecs, Mapping) else codecs)


@dataclasses.dataclass(frozen=True)
class DenseAndRows(CodecPolicy):
    """Chooses one codec for parameters that travel whole, and another one for rows of tables.

    Attributes:
        dense: the codec of parameters that travel whole.
        rows: the codec of rows; one that codes rows: Identity, Cast, Int8, or Lossless of those.
    """

    dense: Codec = dataclasses.field(default_factory=Identity)
    rows: Codec = dataclasses.field(default_factory=Identity)

    def __post_init__(self) -> None:
        if not self.rows.codes_rows:
            raise ValueError(
                f"DenseAndRows: rows is {self.rows!r}, which does not suit rows: every step has "
                "others, and what is left out of them is lost. Take Identity, Cast or Int8, or "
                "Lossless of those."
            )

    @property
    @override
    def codes_rows(self) -> bool:
        return self.rows.codes_rows

    @property
    @override
    def choices(self) -> tuple[Codec, ...]:
        return self.dense, self.rows

    @override
    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        return (self.rows if parameter.rows else self.dense).for_parameter(parameter, step)


@dataclasses.dataclass(frozen=True)
class Warmup(CodecPolicy):
    """Chooses by the global step.

    Attributes:
        stages: pairs of the global step from which a codec is used, and the codec; the first step
            is 0.
    """

    stages: Sequence[tuple[int, Codec]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        starts = [start for start, _ in self.stages]
        integers = all(isinstance(start, int) for start in starts)
        if not integers or starts[:1] != [0] or starts != sorted(set(starts)):
            raise ValueError(
                f"Warmup: the stages begin at the steps {starts}; the first is 0, and each of "
                "the others is above the one before."
            )

    @property
    @override
    def choices(self) -> tuple[Codec, ...]:
        return tuple(codec for _, codec in self.stages)

    @property
    @override
    def boundaries(self) -> tuple[int, ...]:
        starts = {start for start, _ in self.stages if start > 0}
        return tuple(sorted(starts.union(super().boundaries)))

    @override
    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        chosen = [codec for start, codec in self.stages if start <= step][-1]
        return chosen.for_parameter(parameter, step)
