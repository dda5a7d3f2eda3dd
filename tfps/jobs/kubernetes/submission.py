"""Create the objects of a job, all of them or none, and delete them."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from tfps.errors import LaunchError
from tfps.jobs.kubernetes import api_resources
from tfps.jobs.kubernetes.api_resources import POD, ApiResource, resource_of
from tfps.jobs.kubernetes.api_server import ApiServer, is_refusal, lacks_role, refusal
from tfps.jobs.kubernetes.objects import JOB_LABEL
from tfps.jobs.rendering import Document
from tfps.jobs.spec import JobSpec

ObjectName = tuple[ApiResource, str]
"""Kind and name of an object."""

_GONE_WITHIN_S = 180.0
_POLL_S = 0.5


def submit(
    server: ApiServer, spec: JobSpec, documents: Sequence[Document], *, dry_run: bool
) -> None:
    """Create the objects of a job that does not run; those of an earlier run are replaced.

    Raises:
        LaunchError: The server refuses objects, or other objects have their names. In both cases
            nothing is created.
    """
    resources = [resource_of(document) for document in documents]
    old = objects_of(server, spec, resources)
    _check_names(server, documents, old)
    _check_documents(server, documents, old)
    if dry_run:
        return
    remove(server, spec, old)
    try:
        for document in documents:
            server.apply(resource_of(document), document, dry_run=False)
    except LaunchError:
        remove(server, spec, objects_of(server, spec, resources))
        raise


def label_selector(spec: JobSpec) -> str:
    """Return the label selector of a job's objects and pods."""
    return f"{JOB_LABEL}={spec.name},app.kubernetes.io/managed-by=tfps"


def objects_of(
    server: ApiServer, spec: JobSpec, resources: Iterable[ApiResource]
) -> list[ObjectName]:
    """Return the existing objects of a job, of some kinds, in the order of their deletion."""
    wanted = set(resources)
    return [
        (resource, document["metadata"]["name"])
        for resource in api_resources.ALL
        if resource in wanted
        for document in server.list(resource, label_selector(spec))
    ]


def remove(server: ApiServer, spec: JobSpec, objects: Sequence[ObjectName]) -> None:
    """Delete objects, and wait until they and all pods of the job are gone.

    Raises:
        LaunchError: Some still exist after three minutes.
    """
    for resource, name in objects:
        server.delete(resource, name)
    deadline = time.monotonic() + _GONE_WITHIN_S
    while remaining := _remaining(server, spec, objects):
        if time.monotonic() >= deadline:
            raise LaunchError(
                f"{server.where}: {', '.join(remaining)} of job {spec.name} in namespace "
                f"{server.namespace} did not go within {_GONE_WITHIN_S:g} s of being deleted. "
                "kubectl describe says what holds them."
            )
        time.sleep(_POLL_S)


def _check_names(
    server: ApiServer, documents: Sequence[Document], own: Collection[ObjectName]
) -> None:
    """Check that no object that is not the job's own has the name of one of the job's objects."""
    for document in documents:
        resource, name = object_name = _object_name(document)
        if object_name not in own and server.get(resource, name) is not None:
            raise LaunchError(
                f"{server.where}: {resource.named(name)} is already in namespace "
                f"{server.namespace}, and not this job's. Choose another name for the job, or "
                "another namespace with -n."
            )


def _check_documents(
    server: ApiServer, documents: Sequence[Document], old: Collection[ObjectName]
) -> None:
    """Have the server check all objects before the first is created."""
    refused: dict[str, list[str]] = {}
    for name, sentence in _refused(server, documents, old):
        refused.setdefault(sentence, []).append(name)
    if refused:
        number = sum(map(len, refused.values()))
        lines = (f"  {', '.join(names)}: {sentence}" for sentence, names in refused.items())
        raise LaunchError(
            f"{server.where} refuses {number} of the job's {len(documents)} objects, so none was "
            "made:\n" + "\n".join(lines)
        )


def _refused(
    server: ApiServer, documents: Sequence[Document], old: Collection[ObjectName]
) -> Iterator[tuple[str, str]]:
    """Iterate over the names of the refused objects, and the reasons."""
    for document in documents:
        resource, name = _object_name(document)
        # An old object will be deleted first, so the new one must not be checked as a change of it.
        checked = _renamed(document) if (resource, name) in old else document
        try:
            server.apply(resource, checked, dry_run=True)
        except LaunchError as error:
            if not is_refusal(error):
                raise
            # The Role of a RoleBinding is created only after all checks.
            if not lacks_role(error):
                yield resource.named(name), refusal(error.__cause__, resource)


def _renamed(document: Document) -> Document:
    """Return a document with an unused name of the same length."""
    name = document["metadata"]["name"]
    other = name[:-1] + ("y" if name.endswith("x") else "x")
    return {**document, "metadata": {**document["metadata"], "name": other}}


def _object_name(document: Document) -> ObjectName:
    return resource_of(document), document["metadata"]["name"]


def _remaining(server: ApiServer, spec: JobSpec, objects: Sequence[ObjectName]) -> list[str]:
    if not objects:
        return []
    existing = objects_of(server, spec, [resource for resource, _ in objects])
    pods = [(POD, pod["metadata"]["name"]) for pod in server.list(POD, label_selector(spec))]
    return [resource.named(name) for resource, name in (*existing, *pods)]
