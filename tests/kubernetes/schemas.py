"""Objects held against the schemas of their kinds, as a server with strict validation does.

Kubernetes's own kinds have the JSON schemas of two minor versions, from `kubernetes-validate`.
JobSet and TFJob have the `openAPIV3Schema` of their definitions, from `shared/schemas` beside the
repository.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from referencing import Registry, Resource

from tests.kubernetes.kinds import JOB_SET, TF_JOB, Kind
from tests.kubernetes.objects import Object

VERSIONS = ("v1.36.0", "v1.37.0")

_DEFINITIONS = {
    JOB_SET: "jobset.x-k8s.io_jobsets.yaml",
    TF_JOB: "kubeflow.org_tfjobs.yaml",
}
_FOLDER = Path(__file__).parents[3] / "shared" / "schemas"


def is_at_hand(kind: Kind) -> bool:
    """Return whether the schema of a kind is on this machine."""
    return not kind.is_custom or (_FOLDER / _DEFINITIONS[kind]).exists()


def needed(*kinds: Kind) -> str:
    """Return why a test of these kinds is skipped where a schema is not on this machine."""
    names = " and ".join(kind.name for kind in kinds)
    return f"needs the schema of {names}, in shared/schemas beside the repository"


def faults(kind: Kind, obj: Object) -> list[str]:
    """Return what is wrong with an object by the schemas of its kind; each fault once."""
    return list(dict.fromkeys(_faults(kind, obj)))


def _faults(kind: Kind, obj: Object) -> Iterator[str]:
    for validator in _validators(kind):
        for error in validator.iter_errors(obj):
            yield f"{_path(error)}: {_sentence(error)}"


def immutable_faults(kind: Kind, old: Object, new: Object) -> list[str]:
    """Return which parts that a custom kind's schema calls immutable differ."""
    return list(_immutable(custom_schema(kind), old, new, "")) if kind.is_custom else []


def _immutable(schema: Object, old: Any, new: Any, path: str) -> Iterator[str]:
    rules = schema.get("x-kubernetes-validations") or ()
    if old != new and any(rule["rule"] == "self == oldSelf" for rule in rules):
        yield f"{path.lstrip('.')}: Invalid value: Value is immutable"
    for key, below in (schema.get("properties") or {}).items():
        if isinstance(old, dict) and isinstance(new, dict) and key in old and key in new:
            yield from _immutable(below, old[key], new[key], f"{path}.{key}")


def custom_schema(kind: Kind) -> Object:
    """Return the `openAPIV3Schema` of a custom kind."""
    return _definition(_FOLDER / _DEFINITIONS[kind])


@functools.cache
def _definition(path: Path) -> Object:
    with path.open() as file:
        definition = yaml.load(file, Loader=yaml.CSafeLoader)
    schema: Object = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@functools.cache
def _validators(kind: Kind) -> tuple[Any, ...]:
    if kind.is_custom:
        return (jsonschema.Draft202012Validator(_closed(custom_schema(kind), root=True)),)
    return tuple(_built_in(kind, version) for version in VERSIONS)


def _built_in(kind: Kind, version: str) -> Any:
    folder = f"{version}-local-strict"
    group = f"{kind.group.split('.')[0]}-" if kind.group else ""
    schema = _shipped(folder, f"{kind.name.lower()}-{group}{kind.version}.json")
    return jsonschema.Draft202012Validator(schema, registry=_definitions(folder))


@functools.cache
def _definitions(folder: str) -> Registry[Any]:
    return Resource.from_contents(_shipped(folder, "_definitions.json")) @ Registry()


def _shipped(folder: str, name: str) -> Any:
    files = importlib.resources.files("kubernetes_validate")
    return json.loads((files / "kubernetes-json-schema" / folder / name).read_text())


def _closed(schema: Object, *, root: bool = False) -> Object:
    """Return an OpenAPI schema as a JSON schema that refuses unknown fields."""
    closed = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        closed = {"type": ["integer", "string"]}
    properties = schema.get("properties")
    if properties:
        closed["properties"] = {key: _closed(below) for key, below in properties.items()}
        keeps = schema.get("x-kubernetes-preserve-unknown-fields")
        if "additionalProperties" not in schema and not keeps:
            closed["additionalProperties"] = False
    if root:  # The server itself knows what metadata are.
        closed["properties"]["metadata"] = {"type": "object"}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            closed[key] = _closed(schema[key])
    return closed


def _path(error: jsonschema.ValidationError) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path]
    return "".join(parts).lstrip(".") or "object"


def _sentence(error: jsonschema.ValidationError) -> str:
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = ", ".join(f'"{key}"' for key in error.instance if key not in known)
        return f"unknown field {unknown}"
    return str(error.message)
