"""Patches of objects: merge patches, and server-side apply with field managers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.kubernetes.objects import Object, copy_of

Path = tuple[str, ...]
Managers = Mapping[str, frozenset[Path]]
"""The fields that each manager has set."""

# What identifies an item of a list; other lists are replaced as a whole.
_KEYS = ("name", "containerPort", "port", "mountPath", "type", "key")


def merged(old: Any, patch: Any, *, strategic: bool = False) -> Any:
    """Return `old` after a merge patch; a strategic one merges the items of lists by name."""
    if strategic and isinstance(patch, list) and isinstance(old, list):
        return _merged_items(old, patch)
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):  # Directives of kubectl's, which tell the order and what was there.
            continue
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merged(new.get(key), value, strategic=strategic)
    return new


def _merged_items(old: list[Any], patch: list[Any]) -> list[Any]:
    key = _key(patch)
    if key is None or _key(old) != key:
        return patch
    new = {item[key]: item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            new.pop(item[key], None)
        else:
            new[item[key]] = merged(new.get(item[key]), item, strategic=True)
    return list(new.values())


def applied(
    old: Object | None, config: Object, manager: str, managers: Managers, *, force: bool
) -> tuple[Object, dict[str, frozenset[Path]], list[str]]:
    """Apply what a manager wants of an object.

    Returns:
        The object, the managers of its fields, and the conflicts: fields that another manager has
        set to another value.
    """
    wanted = dict(_leaves(config))
    present = dict(_leaves(old or {}))
    conflicts = [
        f'conflict with "{other}": .{".".join(path)}'
        for other, fields in managers.items()
        for path in sorted(fields & wanted.keys())
        if other != manager and present.get(path) != wanted[path] and not force
    ]
    others = {name: fields - wanted.keys() for name, fields in managers.items() if name != manager}
    if not force:
        others = {name: fields for name, fields in managers.items() if name != manager}
    gone = managers.get(manager, frozenset()) - wanted.keys()
    kept: set[Path] = set().union(*others.values()) if others else set()
    new = copy_of(old or {})
    for path in gone - kept:
        _remove(new, path)
    new = _overlaid(new, config)
    return new, {**others, manager: frozenset(wanted)}, conflicts


def fields_of(obj: Object) -> frozenset[Path]:
    """Return the fields of an object that someone has set."""
    return frozenset(path for path, _ in _leaves(obj))


def changed_fields(old: Object, new: Object) -> frozenset[Path]:
    """Return the fields that `new` has and `old` has not, or with another value."""
    before = dict(_leaves(old))
    missing = object()
    return frozenset(path for path, value in _leaves(new) if before.get(path, missing) != value)


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if path[:1] in (("status",), ("apiVersion",), ("kind",)):
        return
    if path[:1] == ("metadata",) and len(path) > 1 and path[1] not in ("labels", "annotations"):
        return
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    elif isinstance(value, list) and _key(value) is not None:
        for item in value:
            yield from _leaves(item, (*path, f"[{item[_key(value)]}]"))
    elif path:
        yield path, value


def _overlaid(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _overlaid(old.get(key), below) for key, below in new.items()}}
    key = _key(new) if isinstance(new, list) else None
    if key is None or not isinstance(old, list) or _key(old) != key:
        return copy_of(new)
    items = {item[key]: item for item in old}
    return list(
        (items | {item[key]: _overlaid(items.get(item[key]), item) for item in new}).values()
    )


def _remove(obj: Any, path: Path) -> None:
    for position, step in enumerate(path):
        last = position == len(path) - 1
        if isinstance(obj, list):
            key = _key(obj)
            result = next((entry for entry in obj if key and f"[{entry[key]}]" == step), None)
            if result is None:
                return
            obj = result
        elif step not in obj:
            return
        elif last:
            del obj[step]
        else:
            obj = obj[step]


def _key(items: list[Any]) -> str | None:
    """Return the key that tells the items of a list apart, or None."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    for key in _KEYS:
        values = [item.get(key) for item in items]
        if None not in values and len(set(map(str, values))) == len(values):
            return key
    return None
