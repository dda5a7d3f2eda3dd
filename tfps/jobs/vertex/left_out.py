"""What of a job spec Vertex AI has no counterpart for, and what that means."""

from __future__ import annotations

from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.vertex.labels import labels_left_out
from tfps.jobs.vertex.volumes import writable_anyway

PORT = 2222
"""At which the server of every task listens."""

_OF_A_ROLE = {
    "minimum_replicas": "Vertex AI empties no machines: it starts again what it loses.",
    "ports": "Vertex AI names no further ports.",
    "node_selector": "Vertex AI has no nodes to choose from. Choose a machine_type.",
    "tolerations": "Vertex AI has no nodes to choose from.",
    "hosts": "Vertex AI places the tasks itself.",
}


def left_out(spec: JobSpec) -> Iterator[Fault]:
    """Say what is left out of a job."""
    if spec.port != PORT:
        yield Fault(("port",), f"Vertex AI has the servers listen at {PORT}.")
    if spec.timeout_s is None:
        yield Fault(("timeout_s",), "Vertex AI ends a job after 7 days. Give more, if need be.")
    yield from labels_left_out(spec)
    yield from writable_anyway(spec)
    for task_type, role in spec.roles:
        yield from (fault.below("roles", task_type) for fault in _of_role(role))
    if not never_restarts(spec):
        yield from _restarts(spec)


def never_restarts(spec: JobSpec) -> bool:
    """Return whether nothing is to be started again: of restarts, Vertex AI can be told this."""
    return all(role.restarts == 0 for _, role in spec.roles)


def _of_role(role: Role) -> Iterator[Fault]:
    for field, sentence in _OF_A_ROLE.items():
        if getattr(role, field):
            yield Fault((field,), sentence)


def _restarts(spec: JobSpec) -> Iterator[Fault]:
    for task_type, role in spec.roles:
        if role.restarts != Role.restarts:
            yield Fault(
                ("roles", task_type, "restarts"),
                "Vertex AI starts a failed task again up to five times, and then the job up to "
                "three times; 0 for all roles forbids it to retry.",
            )
