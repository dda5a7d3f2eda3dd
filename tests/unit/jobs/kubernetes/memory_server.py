"""An API server that keeps its objects in memory and records requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfps.errors import LaunchError
from tfps.jobs.kubernetes.api_resources import ApiResource


class AnswerError(Exception):
    """Has the attributes of the client's ApiException."""

    def __init__(self, status: int, body: str = "", reason: str = "Reason") -> None:
        self.status = status
        self.reason = reason
        self.body = body


def refused(message: str, cause: BaseException | None = None) -> LaunchError:
    """Return the error that `ApiServer` raises for an answer of the server."""
    error = LaunchError(message)
    error.__cause__ = cause
    return error


@dataclasses.dataclass
class MemoryServer:
    """Replaces `ApiServer`.

    Attributes:
        objects: The objects, by kind and name.
        errors: Errors for requests, by verb, kind and name; each is raised once.
        requests: The requests so far.
    """

    objects: dict[tuple[str, str], Any] = dataclasses.field(default_factory=dict)
    errors: dict[tuple[str, str, str], list[LaunchError]] = dataclasses.field(default_factory=dict)
    requests: list[str] = dataclasses.field(default_factory=list)
    where: str = "The test"
    namespace: str = "ns"

    def get(self, resource: ApiResource, name: str) -> Any:
        self._note("get", resource, name)
        return self.objects.get((resource.kind, name))

    def list(self, resource: ApiResource, selector: str) -> Any:
        wanted = dict(part.split("=") for part in selector.split(","))
        return [
            obj
            for (kind, _), obj in self.objects.items()
            if kind == resource.kind and wanted.items() <= obj["metadata"]["labels"].items()
        ]

    def apply(self, resource: ApiResource, document: Mapping[str, Any], *, dry_run: bool) -> None:
        name = document["metadata"]["name"]
        self._note("check" if dry_run else "apply", resource, name)
        if not dry_run:
            self.objects[resource.kind, name] = document

    def scale_to_zero(self, resource: ApiResource, name: str) -> None:
        self._note("scale", resource, name)

    def delete(self, resource: ApiResource, name: str) -> None:
        self._note("delete", resource, name)
        self.objects.pop((resource.kind, name), None)

    def _note(self, verb: str, resource: ApiResource, name: str) -> None:
        self.requests.append(f"{verb} {resource.named(name)}")
        errors = self.errors.get((verb, resource.kind, name))
        if errors:
            raise errors.pop(0)
