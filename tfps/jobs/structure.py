"""Plain data into the dataclasses of a job spec, with every fault at once.

A part that is faulty is made all the same, unchecked, so that what surrounds it is checked as well.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from tfps.errors import Fault, JobSpecError

T = TypeVar("T")
Path = tuple[str | int, ...]

_FAULTY = object()
_KINDS = {
    str: "text",
    int: "a whole number, e.g. 2",
    float: "a number, e.g. 1.5",
    bool: "true or false",
}


def structure(data: object, into: type[T]) -> tuple[T, tuple[Fault, ...]]:
    """Make a dataclass from plain data, and return it with every fault.

    With faults, what is returned holds stand-ins and is of no use.
    """
    structurer = _Structurer()
    made = structurer.value(data, into, ())
    return made, tuple(structurer.faults)


class _Structurer:
    """Makes values of the types that annotate a dataclass, and notes what does not fit."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def value(self, data: object, into: Any, path: Path) -> Any:
        origin = typing.get_origin(into)
        if origin in (typing.Union, types.UnionType):
            return self._one_of(data, typing.get_args(into), path)
        if origin is Literal:
            return self._choice(data, typing.get_args(into), path)
        if origin is tuple:
            return self._list(data, typing.get_args(into)[0], path)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(data, typing.get_args(into)[1], path)
        if dataclasses.is_dataclass(into):
            return self._dataclass(data, into, path)
        return self._scalar(data, into, path)

    def _wrong(self, path: Path, sentence: str) -> Any:
        self.faults.append(Fault(path, sentence))
        return _FAULTY

    def _dataclass(self, data: object, into: Any, path: Path) -> Any:
        if not isinstance(data, Mapping):
            keys = ", ".join(field.name for field in dataclasses.fields(into))
            return self._wrong(path, f"{_shown(data)}, but must be a mapping with keys of {keys}.")
        hints = typing.get_type_hints(into)
        fields = {field.name: field for field in dataclasses.fields(into)}
        self._refuse_unknown(data, fields, path)
        for name, field in fields.items():
            if name not in data and _is_required(field):
                self._wrong((*path, name), f"it is missing. Add {name}: ...")
        given = {
            name: self.value(data[name], hints[name], (*path, name))
            for name in fields
            if name in data
        }
        return self._made(
            into, {name: value for name, value in given.items() if value is not _FAULTY}, path
        )

    def _refuse_unknown(
        self, data: Mapping[Any, object], fields: Mapping[str, object], path: Path
    ) -> None:
        for key in data:
            if key not in fields:
                near = difflib.get_close_matches(_snake(str(key)), fields, n=1, cutoff=0.6)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                self.faults.append(
                    Fault(
                        (*path, str(key)),
                        f"the key is unknown. {hint}Allowed are {', '.join(sorted(fields))}.",
                    )
                )

    def _made(self, into: Any, values: dict[str, Any], path: Path) -> Any:
        made = _unchecked(into, values)
        try:
            made.__post_init__()
        except JobSpecError as error:
            # Of a value that stands in for a faulty one nothing more is said.
            known = {fault.path for fault in self.faults}
            found = [fault.below(*path) for fault in error.faults]
            self.faults += [fault for fault in found if fault.path not in known]
        return made

    def _list(self, data: object, item: Any, path: Path) -> Any:
        if isinstance(data, str) or not isinstance(data, Sequence):
            return self._wrong(path, f"{_shown(data)}, but must be a list, e.g. [a, b].")
        return tuple(self._part(one, item, (*path, index)) for index, one in enumerate(data))

    def _mapping(self, data: object, value: Any, path: Path) -> Any:
        if not isinstance(data, Mapping):
            return self._wrong(path, f"{_shown(data)}, but must be a mapping, e.g. {{a: b}}.")
        return {
            self._part(key, str, (*path, str(key))): self._part(one, value, (*path, str(key)))
            for key, one in data.items()
        }

    def _part(self, data: object, into: Any, path: Path) -> Any:
        made = self.value(data, into, path)
        return _stand_in(into) if made is _FAULTY else made

    def _one_of(self, data: object, kinds: tuple[Any, ...], path: Path) -> Any:
        if data is None and type(None) in kinds:
            return None
        left = [kind for kind in kinds if kind is not type(None)]
        if len(left) == 1:
            return self.value(data, left[0], path)
        for kind in left:
            if _fits(data, kind):
                return kind(data)
        allowed = " or ".join(_KINDS[kind] for kind in left)
        return self._wrong(path, f"{_shown(data)}, but must be {allowed}.")

    def _choice(self, data: object, choices: tuple[str, ...], path: Path) -> Any:
        if data in choices:
            return data
        near = difflib.get_close_matches(str(data), choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return self._wrong(path, f"{data!r} is not one of {', '.join(choices)}.{hint}")

    def _scalar(self, data: object, into: Any, path: Path) -> Any:
        if _fits(data, into):
            return into(data)
        return self._wrong(
            path, f"{_shown(data)}, but must be {_KINDS[into]}.{_advice(data, into)}"
        )


def _fits(data: object, kind: type) -> bool:
    if isinstance(data, bool) or kind is bool:
        return isinstance(data, bool) and kind is bool
    return isinstance(data, int | float if kind is float else kind)


def _shown(data: object) -> str:
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
    """Write a key of Kubernetes's as ours are written: `minReplicas` as `min_replicas`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _stand_in(into: Any) -> Any:
    """Return some value of a type, for what could not be read."""
    origin = typing.get_origin(into) or into
    if origin is Literal:
        return typing.get_args(into)[0]
    if origin in (typing.Union, types.UnionType):
        return _stand_in(typing.get_args(into)[0])
    if dataclasses.is_dataclass(origin):
        return _unchecked(origin, {})
    return {} if issubclass(origin, Mapping) else origin()


def _unchecked(into: Any, values: Mapping[str, Any]) -> Any:
    made = object.__new__(into)
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
        object.__setattr__(made, field.name, value)
    return made
