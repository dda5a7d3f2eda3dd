"""Mappings and sets keyed by variables.

A variable cannot be the key of a dict: `==` of a keras.Variable or a tf.Variable compares element
by element, so neither can be hashed. Here variables are told apart by identity. A collection keeps
its variables alive, so that no other variable can take the identity of one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSet
from typing import Any, TypeAlias, TypeVar

import keras
import tensorflow as tf
from typing_extensions import override

Variable: TypeAlias = "keras.Variable | tf.Variable"
V = TypeVar("V")


class VariableMap(MutableMapping[Variable, V]):
    """A mapping from variables to values, in the order in which the variables were first set.

    Two maps are equal only if they are the same object: values may be tensors.
    """

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, items: Mapping[Variable, V] | Iterable[tuple[Variable, V]] = ()) -> None:
        """Make a map of the same items as another mapping, or of pairs."""
        self._items: dict[int, tuple[Variable, V]] = {}
        self.update(items)

    @override
    def __getitem__(self, variable: Variable) -> V:
        try:
            return self._items[id(variable)][1]
        except KeyError:
            raise KeyError(path(variable)) from None

    @override
    def __setitem__(self, variable: Variable, value: V) -> None:
        self._items[id(variable)] = variable, value

    @override
    def __delitem__(self, variable: Variable) -> None:
        if variable not in self:
            raise KeyError(path(variable))
        del self._items[id(variable)]

    @override
    def __contains__(self, variable: object) -> bool:
        return id(variable) in self._items

    @override
    def __iter__(self) -> Iterator[Variable]:
        return (variable for variable, _ in self._items.values())

    @override
    def __len__(self) -> int:
        return len(self._items)

    def __or__(self, other: Mapping[Variable, V]) -> VariableMap[V]:
        """Return a map of the items of both; where both have a variable, the other's value."""
        merged = VariableMap(self)
        merged.update(other)
        return merged

    def __repr__(self) -> str:
        items = ", ".join(f"{path(variable)!r}: {value!r}" for variable, value in self.items())
        return f"VariableMap({{{items}}})"


class VariableSet(MutableSet[Variable]):
    """A set of variables, in the order in which they were added."""

    def __init__(self, variables: Iterable[Variable] = ()) -> None:
        """Make a set of some variables; each counts once."""
        self._variables: dict[int, Variable] = {id(variable): variable for variable in variables}

    @override
    def add(self, variable: Variable) -> None:
        self._variables.setdefault(id(variable), variable)

    @override
    def discard(self, variable: Variable) -> None:
        self._variables.pop(id(variable), None)

    @override
    def __contains__(self, variable: object) -> bool:
        return id(variable) in self._variables

    @override
    def __iter__(self) -> Iterator[Variable]:
        return iter(self._variables.values())

    @override
    def __len__(self) -> int:
        return len(self._variables)

    def __repr__(self) -> str:
        return f"VariableSet({[path(variable) for variable in self]})"


def path(variable: Any) -> str:
    """Return the path of a keras.Variable, or the name of a tf.Variable."""
    return str(getattr(variable, "path", None) or variable.name)


Values: TypeAlias = "VariableMap[tf.Tensor]"
"""A value, or a gradient, for each of some variables."""
