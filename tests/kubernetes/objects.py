"""The parts that all Kubernetes objects have: metadata, labels, owners, conditions."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Object = dict[str, Any]


def name_of(obj: Object) -> str:
    """Return the name of an object."""
    return str(obj["metadata"]["name"])


def labels_of(obj: Object) -> Mapping[str, str]:
    """Return the labels of an object."""
    return obj["metadata"].get("labels") or {}


def described(obj: Object) -> str:
    """Name an object in a sentence, e.g. `Job chief`."""
    return f"{obj['kind']} {name_of(obj)}"


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector of the API (matchLabels, matchExpressions) selects labels.

    None selects nothing, an empty selector everything.
    """
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        fulfilled(item, labels) for item in selector.get("matchExpressions") or ()
    )


def fulfilled(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether labels fulfil one expression of a selector."""
    key, values = expression["key"], expression.get("values") or ()
    tests: dict[str, Callable[[], bool]] = {
        "In": lambda: labels.get(key) in values,
        "NotIn": lambda: labels.get(key) not in values,
        "Exists": lambda: key in labels,
        "DoesNotExist": lambda: key not in labels,
    }
    return tests[expression["operator"]]()


def matches_query(query: str, labels: Mapping[str, str]) -> bool:
    """Return whether `a=b,c!=d,e` of a request's labelSelector selects labels."""
    for part in filter(None, query.split(",")):
        key, unequal, value = part.partition("!=")
        if unequal:
            if labels.get(key) == value:
                return False
            continue
        key, equal, value = part.replace("==", "=").partition("=")
        if labels.get(key) != value if equal else key not in labels:
            return False
    return True


def owner_reference(owner: Object, *, controller: bool = True) -> Object:
    """Return what makes an object `owner`'s."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": owner["metadata"].get("uid", ""),
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def owned(objects: Iterable[Object], owner: Object) -> list[Object]:
    """Return the objects that belong to an owner."""
    uid = owner["metadata"]["uid"]
    return [item for item in objects if uid in owner_uids(item)]


def owner_uids(obj: Object) -> list[str]:
    """Return the uids of an object's owners."""
    return [item["uid"] for item in obj["metadata"].get("ownerReferences") or ()]


def is_going(obj: Object) -> bool:
    """Return whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def condition(obj: Object, kind: str) -> Object | None:
    """Return the condition of this type, or None."""
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == kind), None)


def is_true(obj: Object, kind: str) -> bool:
    """Return whether the condition of this type is there and true."""
    result = condition(obj, kind)
    return result is not None and result["status"] == "True"


def set_condition(
    obj: Object, kind: str, status: bool, reason: str = "", message: str = ""
) -> None:
    """Set a condition; its time changes only with its status."""
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    created: Object = {"type": kind, "status": str(status)}
    if reason:
        created["reason"] = reason
    if message:
        created["message"] = message
    for index, item in enumerate(conditions):
        if item["type"] == kind:
            same = item["status"] == created["status"]
            time = item["lastTransitionTime"] if same else timestamp()
            conditions[index] = {**created, "lastTransitionTime": time}
            return
    conditions.append({**created, "lastTransitionTime": timestamp()})


def timestamp() -> str:
    """Return the present time as the API writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def copy_of(obj: Any) -> Any:
    """Copy plain data, as fast as it goes."""
    return json.loads(json.dumps(obj))
