"""Read a job spec from YAML, and locate each fault by its line."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from tfps.errors import Fault, JobSpecError, KeyPath
from tfps.jobs.spec import JobSpec
from tfps.structure import structure

API_VERSION = "tfps/v1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFile:
    """The text of a file that describes a job.

    Attributes:
        name: The file's name, for messages.
        text: The file's content.
    """

    name: str
    text: str

    def spec(self) -> JobSpec:
        """Return the job spec that the file describes.

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
        """Return faults as lines `FILE:LINE: PATH: SENTENCE`, in the order of the file."""
        document = self._document
        lines = sorted(
            (document.line(fault.path), index, fault) for index, fault in enumerate(faults)
        )
        return [f"{self.name}:{line}: {fault}" for line, _, fault in lines]

    @functools.cached_property
    def _document(self) -> YamlDocument:
        return parse(self.text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class YamlDocument:
    """A YAML document, with the line of each value.

    Attributes:
        data: The content in plain types; None if the text is not YAML.
        lines: The line, from 1, of each key of a mapping and each item of a list, by its path.
        faults: What is wrong with the text as YAML.
    """

    data: Any
    lines: Mapping[KeyPath, int]
    faults: tuple[Fault, ...]

    def line(self, path: KeyPath) -> int:
        """Return the line of a path, or of its nearest ancestor that the text contains."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str) -> YamlDocument:
    """Parse a text that contains one YAML document."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        positions = _Positions()
        if node is not None:
            positions.add(node, ())
        data = None if node is None or positions.recursive else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        return _not_yaml(error)
    finally:
        loader.dispose()
    return YamlDocument(data=data, lines=positions.lines, faults=tuple(positions.faults))


def _version_faults(content: Mapping[str, object]) -> list[Fault]:
    if "apiVersion" not in content:
        return [Fault(("apiVersion",), f"it is missing. Begin with apiVersion: {API_VERSION}.")]
    version = content["apiVersion"]
    if version != API_VERSION:
        return [Fault(("apiVersion",), f"{version!r} is not one of {API_VERSION}. Write that.")]
    return []


class _Loader(yaml.SafeLoader):
    """Loads plain types; `1e-4` is a number, as in YAML 1.2, and `2026-01-31` is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), list("-+0123456789")
)


def _not_yaml(error: Exception) -> YamlDocument:
    mark = getattr(error, "problem_mark", None)
    line = 1 if mark is None else mark.line + 1
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    problem = ", ".join(part for part in parts if part) or str(error).splitlines()[0]
    fault = Fault((), f"this is not YAML: {problem}. Correct the line, or the one before it.")
    return YamlDocument(data=None, lines={(): line}, faults=(fault,))


class _Positions:
    """Collects the lines of nodes, and the keys that occur twice."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.faults: list[Fault] = []
        self.recursive = False
        self._above: list[yaml.Node] = []

    def add(self, node: yaml.Node, path: KeyPath) -> None:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if any(node is above for above in self._above):
            self.recursive = True
            self.faults.append(Fault(path, "this alias contains itself. Write it out."))
            return
        self._above.append(node)
        if isinstance(node, yaml.MappingNode):
            self._add_mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.add(item, (*path, index))
        self._above.pop()

    def _add_mapping(self, node: yaml.MappingNode, path: KeyPath) -> None:
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            here = (*path, name)
            if name in seen and name != "<<":
                self.faults.append(
                    Fault(
                        here,
                        f"the key is there twice, in lines {self.lines[here]} and {line}. Leave "
                        "one of them out.",
                    )
                )
                continue
            seen.add(name)
            self.lines[here] = line
            # The content of a merge key has the lines of the place where it was written.
            self.add(value, path if name == "<<" else here)
