"""Rules of an API server for the spec of a pod, beyond its schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tests.kubernetes.objects import Object

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?")
_PORT = re.compile(r"(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_HANDLERS = {"exec", "grpc", "httpGet", "tcpSocket"}


def pod_faults(path: str, spec: Object) -> Iterator[str]:
    """Find what is wrong with the spec of a pod."""
    for key in ("hostname", "subdomain"):
        if key in spec and not _NAME.fullmatch(spec[key]):
            yield f'{path}.{key}: Invalid value: "{spec[key]}": a DNS-1123 label is needed'
    volumes = [item["name"] for item in spec.get("volumes") or ()]
    yield from _name_faults(f"{path}.volumes", volumes)
    yield from _name_faults(f"{path}.containers", [item["name"] for item in spec["containers"]])
    for index, container in enumerate(spec["containers"]):
        yield from _container_faults(f"{path}.containers[{index}]", container, volumes)
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration_faults(f"{path}.tolerations[{index}]", toleration)


def _container_faults(path: str, container: Object, volumes: Sequence[str]) -> Iterator[str]:
    if not container.get("image"):
        yield f"{path}.image: Required value"
    names = [item["name"] for item in container.get("env") or ()]
    for name in names:
        if not re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", name):
            yield f'{path}.env: Invalid value: "{name}"'
    ports = container.get("ports") or ()
    for port in ports:
        if "name" in port and not _PORT.fullmatch(port["name"]):
            yield f'{path}.ports: Invalid value: "{port["name"]}": at most 15 characters'
    yield from _repeated(f"{path}.ports", [item["name"] for item in ports if "name" in item])
    mounts = container.get("volumeMounts") or ()
    for mount in mounts:
        if mount["name"] not in volumes:
            yield f'{path}.volumeMounts: Not found: "{mount["name"]}"'
    yield from _repeated(f"{path}.volumeMounts", [item["mountPath"] for item in mounts])
    yield from _resource_faults(f"{path}.resources", container.get("resources") or {})
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        if probe in container and len(_HANDLERS & set(container[probe])) != 1:
            yield f"{path}.{probe}: Required value: must specify exactly one handler type"


def _resource_faults(path: str, resources: Object) -> Iterator[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for key, value in (*requests.items(), *limits.items()):
        if not _QUANTITY.fullmatch(str(value)):
            yield f'{path}.{key}: Invalid value: "{value}": a quantity is needed'
    for key, value in requests.items():
        # What is no CPU or memory (GPUs) cannot be promised to more than one.
        if "/" in key and limits.get(key) != value:
            yield f'{path}.requests: Invalid value: "{value}": must be equal to {key} limit'
        if (
            key in limits
            and _QUANTITY.fullmatch(str(value))
            and amount(value) > amount(limits[key])
        ):
            yield f'{path}.requests: Invalid value: "{value}": must be at most the {key} limit'


def _toleration_faults(path: str, toleration: Object) -> Iterator[str]:
    operator = toleration.get("operator", "Equal")
    if operator == "Exists" and toleration.get("value"):
        yield f"{path}.operator: Invalid value: value must be empty when operator is Exists"
    if operator == "Equal" and not toleration.get("key"):
        yield f"{path}.operator: Invalid value: operator must be Exists when key is empty"


def _name_faults(path: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if not _NAME.fullmatch(name):
            yield f'{path}: Invalid value: "{name}": a DNS-1123 label is needed'
    yield from _repeated(path, names)


def _repeated(path: str, names: Sequence[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f'{path}: Duplicate value: "{name}"'


def amount(quantity: object) -> float:
    """Return a quantity as a number, e.g. 0.25 for 250m and 1024 for 1Ki."""
    result = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(quantity))
    assert result is not None
    number, unit = float(result[1]), result[2]
    if unit == "m":
        return number / 1000
    prefixes = " kMGTPE"
    if unit.endswith("i"):
        return number * 1024.0 ** prefixes.upper().index(unit[0])
    return number * 1000.0 ** prefixes.index(unit or " ")
