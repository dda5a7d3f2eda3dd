"""A YAML text as plain data, with the line of every key and value."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import yaml

from tfps.errors import Fault, KeyPath


class Loader(yaml.SafeLoader):
    """YAML's plain types; `1e-4` is a number, as it is in YAML 1.2, and `2026-01-31` is text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), list("-+0123456789")
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """What a YAML text holds.

    Attributes:
        data: The content in plain types; None when the text is not YAML.
        lines: The line, from 1, of each key of a mapping and each item of a list, by its path.
        faults: What is wrong with the text as YAML.
    """

    data: Any
    lines: Mapping[KeyPath, int]
    faults: tuple[Fault, ...]

    def line(self, path: KeyPath) -> int:
        """Return the line of a path, or of the nearest part above it that the text has."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str) -> Document:
    """Parse a text of one YAML document."""
    loader = Loader(text)
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
    return Document(data=data, lines=positions.lines, faults=tuple(positions.faults))


def _not_yaml(error: Exception) -> Document:
    mark = getattr(error, "problem_mark", None)
    line = 1 if mark is None else mark.line + 1
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    problem = ", ".join(part for part in parts if part) or str(error).splitlines()[0]
    fault = Fault((), f"this is not YAML: {problem}. Correct the line, or the one before it.")
    return Document(data=None, lines={(): line}, faults=(fault,))


class _Positions:
    """Lines of the nodes below one, and keys that are there twice."""

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
            # What is merged in has its lines where it was written.
            self.add(value, path if name == "<<" else here)
