"""Discovery: the version of an API server, and its groups and kinds."""

from __future__ import annotations

from collections.abc import Sequence

from tests.kubernetes.kinds import Kind
from tests.kubernetes.objects import Object

_ALL = ("Pod", "Service", "StatefulSet", "Job")
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def answer(path: str, kinds: Sequence[Kind]) -> Object | None:
    """Answer a request of discovery; None when the path is none."""
    parts = path.strip("/").split("/")
    if path == "/version":
        return {"major": "1", "minor": "37", "gitVersion": "v1.37.0", "platform": "linux/amd64"}
    if path == "/api":
        return {"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}
    if path == "/apis":
        groups = sorted({(kind.group, kind.version) for kind in kinds if kind.group})
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(*group) for group in groups],
        }
    if path == "/openapi/v3":
        return {
            "paths": {
                _openapi(kind): {"serverRelativeURL": f"/openapi/v3/{_openapi(kind)}"}
                for kind in kinds
            }
        }
    if path.startswith("/openapi/v3/"):
        return _paths(
            [kind for kind in kinds if path.removeprefix("/openapi/v3/") == _openapi(kind)]
        )
    if parts[0] == "api" and len(parts) == 2:
        return _resources("v1", [kind for kind in kinds if not kind.group])
    if parts[0] == "apis" and len(parts) in (2, 3):
        result = [kind for kind in kinds if kind.group == parts[1]]
        if not result:
            return None
        if len(parts) == 2:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], result[0].version)}
        return (
            _resources(f"{parts[1]}/{parts[2]}", result) if parts[2] == result[0].version else None
        )
    return None


def _group(name: str, version: str) -> Object:
    only = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [only], "preferredVersion": only}


def _resources(group_version: str, kinds: Sequence[Kind]) -> Object:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": [entry for kind in kinds for entry in _entries(kind)],
    }


def _entries(kind: Kind) -> list[Object]:
    own = {
        "name": kind.plural,
        "singularName": kind.name.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": _VERBS,
        "shortNames": list(kind.short_names),
        "categories": ["all"] if kind.name in _ALL else [],
    }
    scale = {
        "name": f"{kind.plural}/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }
    return [own, scale] if kind.scales else [own]


def _openapi(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def _paths(kinds: Sequence[Kind]) -> Object | None:
    """Return as much of a group's OpenAPI as tells kubectl that the server checks all fields."""
    if not kinds:
        return None
    queries = [{"name": name, "in": "query"} for name in ("dryRun", "fieldValidation")]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": {
            f"/{_openapi(kind)}/{kind.plural}/{{name}}": {
                "patch": {
                    "parameters": queries,
                    "x-kubernetes-group-version-kind": {
                        "group": kind.group,
                        "version": kind.version,
                        "kind": kind.name,
                    },
                    "responses": {},
                }
            }
            for kind in kinds
        },
    }
