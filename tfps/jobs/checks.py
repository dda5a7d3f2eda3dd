"""Checks that the parts of a job spec share: each yields its faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tfps.errors import Fault, JobSpecError


def check(faults: Iterable[Fault]) -> None:
    """Raise what was found.

    Raises:
        JobSpecError: There are faults.
    """
    found = tuple(faults)
    if found:
        raise JobSpecError(found)


def at_least(name: str, value: float | None, least: int) -> Iterator[Fault]:
    """Check a number that is given."""
    if value is not None and value < least:
        yield Fault((name,), f"{value:g} is too few. Give at least {least}.")


def above_zero(name: str, value: float | None) -> Iterator[Fault]:
    """Check an amount that is given."""
    if value is not None and not value > 0:
        yield Fault((name,), f"{value:g} is not an amount. Give more than 0.")


def form(name: str, value: str | None, fault_of: Callable[[str], str | None]) -> Iterator[Fault]:
    """Check text that is given by the function that knows its form."""
    sentence = None if value is None else fault_of(value)
    if sentence is not None:
        yield Fault((name,), sentence)


def keys(
    name: str, mapping: Mapping[str, object], fault_of: Callable[[str], str | None]
) -> Iterator[Fault]:
    """Check each key of a mapping by the function that knows its form."""
    for key in mapping:
        yield from (fault.below(name) for fault in form(key, key, fault_of))


def labels(
    name: str,
    mapping: Mapping[str, str],
    fault_of_key: Callable[[str], str | None],
    fault_of_value: Callable[[str], str | None],
) -> Iterator[Fault]:
    """Check keys and values of labels."""
    yield from keys(name, mapping, fault_of_key)
    for key, value in mapping.items():
        yield from (fault.below(name) for fault in form(key, value, fault_of_value))


def repeated(name: str, values: Sequence[object], field: str | None = None) -> Iterator[Fault]:
    """Check that no value of a list comes twice.

    Args:
        name: The list's.
        values: What is compared, in the list's order.
        field: Of which field of the list's items the values are, if of one.
    """
    for index, value in enumerate(values):
        if value in values[:index]:
            path = (name, index) if field is None else (name, index, field)
            first = values.index(value)
            yield Fault(path, f"{value!r} is already that of {name}[{first}]. Give it once.")
