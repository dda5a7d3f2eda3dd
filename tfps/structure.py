"""Build dataclasses from plain data, the content of a YAML or JSON file, and report every fault.

A part with faults is still built, with stand-ins and without the checks of its constructor, so that
the checks of the parts around it run as well.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar

from tfps.errors import Fault, JobSpecError, KeyPath

T = TypeVar("T")

_FAULTY = object()
_KINDS = {
    str: "text",
    int: "a whole number, e.g. 2",
    float: "a number, e.g. 1.5",
    bool: "true or false",
}


def structure(
    data: object, into: type[T], *, ignore_unknown: bool = False
) -> tuple[T, tuple[Fault, ...]]:
    """Return an object of a type, built from plain data, and every fault of the data.

    If there are faults, the object contains stand-ins and must not be used.

    Args:
        data: Mappings, lists, text, numbers, truth values and None.
        into: A dataclass, an enum, a builtin type, or a tuple, list, mapping or union of them.
        ignore_unknown: Skip keys that a dataclass does not have, instead of reporting them.
    """
    structurer = _Structurer(ignore_unknown=ignore_unknown)
    value = structurer.value(data, into, ())
    return value, tuple(structurer.faults)


class _Structurer:
    """Builds values of the types that annotate a dataclass, and collects faults."""

    def __init__(self, *, ignore_unknown: bool) -> None:
        self.faults: list[Fault] = []
        self._ignore_unknown = ignore_unknown

    def value(self, data: object, into: Any, path: KeyPath) -> Any:
        origin = typing.get_origin(into)
        if origin in (typing.Union, types.UnionType):
            return self._union(data, typing.get_args(into), path)
        if origin is Literal:
            return self._choice(data, typing.get_args(into), path)
        if origin in (tuple, list):
            return self._sequence(data, origin, typing.get_args(into)[0], path)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(data, typing.get_args(into)[1], path)
        if dataclasses.is_dataclass(into):
            return self._dataclass(data, into, path)
        if issubclass(into, enum.Enum):
            choice = self._choice(data, [member.value for member in into], path)
            return choice if choice is _FAULTY else into(choice)
        return self._scalar(data, into, path)

    def _fault(self, path: KeyPath, sentence: str) -> Any:
        self.faults.append(Fault(path, sentence))
        return _FAULTY

    def _dataclass(self, data: object, into: Any, path: KeyPath) -> Any:
        if not isinstance(data, Mapping):
            keys = ", ".join(field.name for field in dataclasses.fields(into))
            return self._fault(
                path, f"{_description(data)}, but must be a mapping with keys of {keys}."
            )
        hints = typing.get_type_hints(into)
        fields = {field.name: field for field in dataclasses.fields(into)}
        if not self._ignore_unknown:
            self._report_unknown(data, fields, path)
        for name, field in fields.items():
            if name not in data and _is_required(field):
                self._fault((*path, name), f"it is missing. Add {name}: ...")
        values = {
            name: self.value(data[name], hints[name], (*path, name))
            for name in fields
            if name in data
        }
        return self._checked(
            into, {name: value for name, value in values.items() if value is not _FAULTY}, path
        )

    def _report_unknown(
        self, data: Mapping[Any, object], fields: Collection[str], path: KeyPath
    ) -> None:
        for key in data:
            if key not in fields:
                near = difflib.get_close_matches(_snake(str(key)), fields, n=1, cutoff=0.6)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                allowed = ", ".join(sorted(fields))
                self._fault((*path, str(key)), f"the key is unknown. {hint}Allowed are {allowed}.")

    def _checked(self, into: Any, values: dict[str, Any], path: KeyPath) -> Any:
        """Return an instance of a dataclass, with the faults that its own checks find reported."""
        instance = _unchecked(into, values)
        check = getattr(instance, "__post_init__", None)
        if check is None:
            return instance
        known = {fault.path for fault in self.faults}
        try:
            check()
        except JobSpecError as error:
            # A stand-in's own faults say nothing new.
            faults = [fault.below(*path) for fault in error.faults]
            self.faults += [fault for fault in faults if fault.path not in known]
        except ValueError as error:
            if not any(fault[: len(path)] == path for fault in known):
                self._fault(path, str(error))
        return instance

    def _sequence(self, data: object, into: type, item: Any, path: KeyPath) -> Any:
        if isinstance(data, str) or not isinstance(data, Sequence):
            return self._fault(path, f"{_description(data)}, but must be a list, e.g. [a, b].")
        return into(self._part(value, item, (*path, index)) for index, value in enumerate(data))

    def _mapping(self, data: object, value: Any, path: KeyPath) -> Any:
        if not isinstance(data, Mapping):
            return self._fault(path, f"{_description(data)}, but must be a mapping, e.g. {{a: b}}.")
        return {
            self._part(key, str, (*path, str(key))): self._part(item, value, (*path, str(key)))
            for key, item in data.items()
        }

    def _part(self, data: object, into: Any, path: KeyPath) -> Any:
        value = self.value(data, into, path)
        return _stand_in(into) if value is _FAULTY else value

    def _union(self, data: object, kinds: tuple[Any, ...], path: KeyPath) -> Any:
        if data is None and type(None) in kinds:
            return None
        others = [kind for kind in kinds if kind is not type(None)]
        if len(others) == 1:
            return self.value(data, others[0], path)
        for kind in others:
            if _fits(data, kind):
                return kind(data)
        allowed = " or ".join(_KINDS[kind] for kind in others)
        return self._fault(path, f"{_description(data)}, but must be {allowed}.")

    def _choice(self, data: object, choices: Sequence[str], path: KeyPath) -> Any:
        if data in choices:
            return data
        near = difflib.get_close_matches(str(data), choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return self._fault(path, f"{data!r} is not one of {', '.join(choices)}.{hint}")

    def _scalar(self, data: object, into: Any, path: KeyPath) -> Any:
        if _fits(data, into):
            return into(data)
        expected = f"but must be {_KINDS[into]}.{_advice(data, into)}"
        return self._fault(path, f"{_description(data)}, {expected}")


def _fits(data: object, kind: type) -> bool:
    if isinstance(data, bool) or kind is bool:
        return isinstance(data, bool) and kind is bool
    return isinstance(data, int | float if kind is float else kind)


def _description(data: object) -> str:
    if data is None:
        return "the value is empty"
    if isinstance(data, bool):
        # YAML reads yes, no, on and off as truth values, too.
        return f"{str(data).lower()} (also written yes, no, on, off) is a truth value"
    if isinstance(data, str):
        return f"{data!r} is text"
    if isinstance(data, int | float):
        return f"{data!r} is a number"
    return "the value is a mapping" if isinstance(data, Mapping) else "the value is a list"


def _advice(data: object, into: type) -> str:
    if into is str and isinstance(data, int | float):
        return " Put it in quotes."
    if into in (int, float) and isinstance(data, str) and data[:1].isdigit():
        return " Write the number alone; the key names its unit."
    return ""


def _snake(key: str) -> str:
    """Return a key in snake case, e.g. Kubernetes's `minReplicas` as `min_replicas`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _stand_in(into: Any) -> Any:
    """Return some value of a type, in place of data that has faults."""
    origin = typing.get_origin(into) or into
    if origin is Literal:
        return typing.get_args(into)[0]
    if origin in (typing.Union, types.UnionType):
        return _stand_in(typing.get_args(into)[0])
    if dataclasses.is_dataclass(origin):
        return _unchecked(origin, {})
    if issubclass(origin, enum.Enum):
        return next(iter(origin))
    return {} if issubclass(origin, Mapping) else origin()


def _unchecked(into: Any, values: Mapping[str, Any]) -> Any:
    """Return an instance of a dataclass without running its checks; missing values get defaults."""
    instance = object.__new__(into)
    hints = typing.get_type_hints(into)
    for field in dataclasses.fields(into):
        if field.name in values:
            value = values[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            value = _stand_in(hints[field.name])
        object.__setattr__(instance, field.name, value)
    return instance
