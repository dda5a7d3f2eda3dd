"""Makes the objects of a job, all of them or none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tfps.errors import LaunchError
from tfps.jobs.kubernetes import refusals, removal
from tfps.jobs.kubernetes.api_resources import ApiResource, resource_of
from tfps.jobs.kubernetes.api_server import ApiServer
from tfps.jobs.rendering import Document
from tfps.jobs.spec import JobSpec

Found = tuple[ApiResource, str]
"""Kind and name of an object."""


def submit(
    server: ApiServer, spec: JobSpec, documents: Sequence[Document], *, dry_run: bool
) -> None:
    """Make the objects of a job of which none runs; what is left of a former one is replaced.

    Raises:
        LaunchError: The server refuses objects, or other objects have their names; nothing is made.
    """
    resources = [resource_of(document) for document in documents]
    left = removal.objects_of(server, spec, resources)
    _check_others(server, documents, left)
    _check_all(server, documents, left)
    if dry_run:
        return
    removal.remove(server, spec, left)
    try:
        for document in documents:
            server.apply(resource_of(document), document, dry_run=False)
    except LaunchError:
        removal.remove(server, spec, removal.objects_of(server, spec, resources))
        raise


def _check_others(server: ApiServer, documents: Sequence[Document], own: Collection[Found]) -> None:
    """Check that no object of someone else's has the name of one of the job's."""
    for document in documents:
        resource, name = found = _found(document)
        if found not in own and server.get(resource, name) is not None:
            raise LaunchError(
                f"{server.where}: {resource.named(name)} is already in namespace "
                f"{server.namespace}, and not this job's. Choose another name for the job, or "
                "another namespace with -n."
            )


def _check_all(server: ApiServer, documents: Sequence[Document], left: Collection[Found]) -> None:
    """Have the server check all objects before the first is made."""
    refused: dict[str, list[str]] = {}
    for name, sentence in _refused(server, documents, left):
        refused.setdefault(sentence, []).append(name)
    if refused:
        number = sum(map(len, refused.values()))
        lines = (f"  {', '.join(names)}: {sentence}" for sentence, names in refused.items())
        raise LaunchError(
            f"{server.where} refuses {number} of the job's {len(documents)} objects, so none was "
            "made:\n" + "\n".join(lines)
        )


def _refused(
    server: ApiServer, documents: Sequence[Document], left: Collection[Found]
) -> Iterator[tuple[str, str]]:
    """Iterate over the objects that are refused: what each is called, and why."""
    for document in documents:
        resource, name = _found(document)
        # The new object is not a change of one that is left and will be deleted before.
        checked = _renamed(document) if (resource, name) in left else document
        try:
            server.apply(resource, checked, dry_run=True)
        except LaunchError as error:
            if not refusals.is_answer(error):
                raise
            # The Role of a RoleBinding is only made when all have been checked.
            if not refusals.is_for_lack_of_a_role(error):
                yield resource.named(name), refusals.sentence(error.__cause__, resource)


def _renamed(document: Document) -> Document:
    """Return a document under a name of the same length that nothing has."""
    name = document["metadata"]["name"]
    other = name[:-1] + ("y" if name.endswith("x") else "x")
    return {**document, "metadata": {**document["metadata"], "name": other}}


def _found(document: Document) -> Found:
    return resource_of(document), document["metadata"]["name"]
