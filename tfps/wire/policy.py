"""Policies: codecs that choose a codec for each parameter, and at each step."""

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


class Policy(Codec):
    """A codec whose `for_parameter` chooses another one, which then encodes and decodes.

    Policies may hold one another, and be held by codecs that hold a codec.
    """

    @property
    @abc.abstractmethod
    def choices(self) -> tuple[Codec, ...]:
        """What it chooses from."""

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
        """Return the codec for one parameter, at a global step; it holds no policy."""

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
class BySize(Policy):
    """Chooses one codec for large parameters, and another for small ones and vectors.

    It takes the place of the default, by which small parameters and vectors stay as they are.

    Attributes:
        codec: of parameters with at least as many elements and axes as follows.
        min_elements: how many elements a parameter has at least, all shards together.
        min_rank: how many axes it has at least.
        small: the codec of all others.
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
class ByName(Policy):
    """Chooses by the parameter's name: the codec of the first expression that is found in it.

    What is named so is coded however small it is; the default protects only the rest.

    Attributes:
        codecs: regular expressions, as in `re.search`, and their codecs: a mapping, or pairs, which
            is what it is kept as.
        otherwise: the codec of all others.
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
class DenseAndRows(Policy):
    """Chooses one codec for what travels whole, and another for the rows of tables.

    Attributes:
        dense: of parameters that travel whole.
        rows: of those of which only the rows travel that a batch needs; it has to suit them.
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
class Warmup(Policy):
    """Chooses by the global step.

    Attributes:
        stages: from which global step on which codec is used, in pairs; the first begins at 0.
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
