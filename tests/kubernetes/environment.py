"""The command and environment of a container, as the kubelet derives them from its pod."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.kubernetes.expansion import expand
from tests.kubernetes.objects import Object


def environment(
    pod: Object, container: Object, *, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return a container's environment.

    Args:
        pod: Of which fields may become variables.
        container: One of the pod's.
        given: What the image and the kubelet give; the container's own entries go before it.
    """
    variables = dict(given or {})
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            variables[entry["name"]] = _from_field(pod, entry)
        else:
            variables[entry["name"]] = expand(entry.get("value") or "", variables)
    return variables


def command(container: Object, variables: Mapping[str, str]) -> list[str]:
    """Return the program and arguments of a container."""
    parts = [*(container.get("command") or ()), *(container.get("args") or ())]
    return [expand(part, variables) for part in parts]


def _from_field(pod: Object, entry: Object) -> str:
    source = entry["valueFrom"]
    if set(source) != {"fieldRef"}:
        raise NotImplementedError(f"env {entry['name']}: valueFrom {', '.join(source)}")
    path = source["fieldRef"]["fieldPath"]
    in_map = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if in_map:
        return str((pod["metadata"].get(in_map[1]) or {}).get(in_map[2], ""))
    return str(_FIELDS[path](pod))


_FIELDS = {
    "metadata.name": lambda pod: pod["metadata"]["name"],
    "metadata.namespace": lambda pod: pod["metadata"]["namespace"],
    "metadata.uid": lambda pod: pod["metadata"]["uid"],
    "spec.nodeName": lambda pod: pod["spec"]["nodeName"],
    "spec.serviceAccountName": lambda pod: pod["spec"]["serviceAccountName"],
    "status.hostIP": lambda pod: pod["status"]["hostIP"],
    "status.podIP": lambda pod: pod["status"]["podIP"],
}
