"""An API server that keeps objects in memory, for tests of what is asked of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfps.errors import LaunchError
from tfps.jobs.kubernetes.api_resources import ApiResource


class AnswerError(Exception):
    """As the client's ApiException."""

    def __init__(self, status: int, body: str = "", reason: str = "Reason") -> None:
        self.status = status
        self.reason = reason
        self.body = body


def refused(message: str, cause: BaseException | None = None) -> LaunchError:
    """Return the error that a server's answer is told as."""
    error = LaunchError(message)
    error.__cause__ = cause
    return error


@dataclasses.dataclass
class Kept:
    """What stands in for `ApiServer`.

    Attributes:
        objects: By kind and name.
        failing: Raised once each, when something is asked of the object of this kind and name.
        done: What was asked for.
    """

    objects: dict[tuple[str, str], Any] = dataclasses.field(default_factory=dict)
    failing: dict[tuple[str, str, str], list[LaunchError]] = dataclasses.field(default_factory=dict)
    done: list[str] = dataclasses.field(default_factory=list)
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
        self.done.append(f"{verb} {resource.named(name)}")
        for_this = self.failing.get((verb, resource.kind, name))
        if for_this:
            raise for_this.pop(0)
