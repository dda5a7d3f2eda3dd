"""The object or objects that a request to the API server is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from tests.kubernetes.kinds import Kind
from tests.kubernetes.objects import Object, labels_of, matches_query
from tests.kubernetes.store import Event, Key


@dataclasses.dataclass(frozen=True)
class Target:
    """What the path of a request names: objects of a kind, one object, or a part of one."""

    key: Key
    subresource: str
    all_namespaces: bool


def target_of(path: str, kinds: Iterable[Kind]) -> Target | None:
    """Read a path below /api or /apis; None when no kind of objects is there."""
    parts = path.strip("/").split("/")
    group, rest = (
        ("", parts[2:]) if parts[0] == "api" else (parts[1] if parts[1:] else "", parts[3:])
    )
    version = parts[1] if parts[0] == "api" else parts[2] if len(parts) > 2 else ""
    namespace, all_namespaces = "", True
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest, all_namespaces = rest[1], rest[2:], False
    kind = _kind(kinds, group, version, rest[0] if rest else "")
    if kind is None:
        return None
    name = rest[1] if len(rest) > 1 else ""
    return Target(Key(kind, namespace, name), rest[2] if len(rest) > 2 else "", all_namespaces)


def is_true(query: dict[str, str], name: str) -> bool:
    """Return whether a flag of the query is set."""
    return query.get(name, "").lower() in ("true", "1")


def is_selected(obj: Object, query: dict[str, str]) -> bool:
    """Return whether the selectors of the query select an object."""
    if not matches_query(query.get("labelSelector", ""), labels_of(obj)):
        return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = part.replace("==", "=").partition("=")
        result: Any = obj
        for step in path.split("."):
            result = (result or {}).get(step)
        if result != value:
            return False
    return True


def concerns(event: Event, target: Target, query: dict[str, str]) -> bool:
    """Return whether who watches the target is to be told of an event."""
    return (
        event.key.kind is target.key.kind
        and (target.all_namespaces or event.key.namespace == target.key.namespace)
        and is_selected(event.object, query)
    )


def _kind(kinds: Iterable[Kind], group: str, version: str, plural: str) -> Kind | None:
    wanted = (group, version, plural)
    return next((item for item in kinds if (item.group, item.version, item.plural) == wanted), None)
