"""The rights of a user by Roles and RoleBindings, as an API server decides them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from tests.kubernetes.objects import Object, name_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attributes:
    """What a request asks for."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


def may(user: str, asked: Attributes, roles: Iterable[Object], bindings: Iterable[Object]) -> bool:
    """Return whether a user may do what is asked for."""
    granted = set(_granted(user, asked.namespace, bindings))
    return any(
        _allows(rule, asked)
        for role in roles
        if role["metadata"].get("namespace") == asked.namespace and name_of(role) in granted
        for rule in role.get("rules") or ()
    )


def granted_by(role: Object, namespace: str) -> Iterator[Attributes]:
    """Iterate over all that a role allows."""
    for rule in role.get("rules") or ():
        parts = (rule["verbs"], rule["apiGroups"], rule["resources"])
        for verb, group, resource in itertools.product(*parts):
            for name in rule.get("resourceNames") or ("",):
                yield Attributes(
                    verb=verb, group=group, resource=resource, namespace=namespace, name=name
                )


def _granted(user: str, namespace: str, bindings: Iterable[Object]) -> Iterator[str]:
    for binding in bindings:
        if binding["metadata"].get("namespace") != namespace:
            continue
        for subject in binding.get("subjects") or ():
            if user == _user(subject, namespace):
                yield binding["roleRef"]["name"]


def _user(subject: Object, namespace: str) -> str:
    if subject["kind"] != "ServiceAccount":
        return str(subject["name"])
    return f"system:serviceaccount:{subject.get('namespace') or namespace}:{subject['name']}"


def _allows(rule: Object, asked: Attributes) -> bool:
    names = rule.get("resourceNames") or ()
    return (
        _among(asked.verb, rule["verbs"])
        and _among(asked.group, rule["apiGroups"])
        and _among(asked.resource, rule["resources"])
        and (not names or asked.name in names)
    )


def _among(value: str, allowed: Iterable[str]) -> bool:
    return any(item in (value, "*") for item in allowed)
