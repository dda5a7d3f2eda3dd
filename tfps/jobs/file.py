"""A YAML file into a job spec."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping

from tfps.errors import Fault, JobSpecError
from tfps.jobs.document import Document, parse
from tfps.jobs.spec import JobSpec
from tfps.structure import structure

API_VERSION = "tfps/v1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFile:
    """A job spec as it was read from a file.

    Attributes:
        name: Of the file.
        text: What it holds.
    """

    name: str
    text: str

    def spec(self) -> JobSpec:
        """Read the spec.

        Raises:
            JobSpecError: The text has faults; all of them are listed.
        """
        document = self._document
        if document.faults:
            raise JobSpecError(document.faults)
        if not isinstance(document.data, Mapping):
            raise JobSpecError(
                [Fault((), f"the file is no mapping. Begin it with apiVersion: {API_VERSION}.")]
            )
        content = dict(document.data)
        version_faults = _version_faults(content)
        content.pop("apiVersion", None)
        spec, faults = structure(content, JobSpec)
        if version_faults or faults:
            raise JobSpecError((*version_faults, *faults))
        return spec

    def located(self, faults: Iterable[Fault]) -> list[str]:
        """Write faults as `FILE:LINE: PATH: SENTENCE`, in the file's order."""
        document = self._document
        lines = sorted(
            (document.line(fault.path), index, fault) for index, fault in enumerate(faults)
        )
        return [f"{self.name}:{line}: {fault}" for line, _, fault in lines]

    @functools.cached_property
    def _document(self) -> Document:
        return parse(self.text)


def _line(located: tuple[int, Fault]) -> int:
    return located[0]


def _version_faults(content: Mapping[str, object]) -> list[Fault]:
    if "apiVersion" not in content:
        return [Fault(("apiVersion",), f"it is missing. Begin with apiVersion: {API_VERSION}.")]
    version = content["apiVersion"]
    if version != API_VERSION:
        return [Fault(("apiVersion",), f"{version!r} is not one of {API_VERSION}. Write that.")]
    return []
