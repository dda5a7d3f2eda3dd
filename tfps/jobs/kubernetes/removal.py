"""Finds the objects of a job by their labels, and deletes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from tfps.errors import LaunchError
from tfps.jobs.kubernetes import api_resources
from tfps.jobs.kubernetes.api_resources import POD, ApiResource
from tfps.jobs.kubernetes.api_server import ApiServer
from tfps.jobs.kubernetes.shared import JOB_LABEL
from tfps.jobs.spec import JobSpec

_WITHIN_S = 180.0
_LOOK_EVERY_S = 0.5


def selector(spec: JobSpec) -> str:
    """Return what selects the objects and the pods of a job."""
    return f"{JOB_LABEL}={spec.name},app.kubernetes.io/managed-by=tfps"


def objects_of(
    server: ApiServer, spec: JobSpec, resources: Iterable[ApiResource]
) -> list[tuple[ApiResource, str]]:
    """Return kind and name of the objects of a job, in the order in which they are deleted."""
    wanted = set(resources)
    return [
        (resource, found["metadata"]["name"])
        for resource in api_resources.ALL
        if resource in wanted
        for found in server.list(resource, selector(spec))
    ]


def remove(server: ApiServer, spec: JobSpec, objects: Sequence[tuple[ApiResource, str]]) -> None:
    """Delete objects, and wait until they and all pods of the job are gone.

    Raises:
        LaunchError: Some are still there after three minutes.
    """
    for resource, name in objects:
        server.delete(resource, name)
    deadline = time.monotonic() + _WITHIN_S
    while left := _left(server, spec, objects):
        if time.monotonic() >= deadline:
            raise LaunchError(
                f"{server.where}: {', '.join(left)} of job {spec.name} in namespace "
                f"{server.namespace} did not go within {_WITHIN_S:g} s of being deleted. kubectl "
                "describe says what holds them."
            )
        time.sleep(_LOOK_EVERY_S)


def _left(
    server: ApiServer, spec: JobSpec, objects: Sequence[tuple[ApiResource, str]]
) -> list[str]:
    if not objects:
        return []
    found = objects_of(server, spec, [resource for resource, _ in objects])
    pods = [(POD, pod["metadata"]["name"]) for pod in server.list(POD, selector(spec))]
    return [resource.named(name) for resource, name in (*found, *pods)]
