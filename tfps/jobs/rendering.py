"""What a renderer returns for a job spec, and how that is written as text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import yaml

from tfps.errors import Fault
from tfps.jobs.spec import JobSpec

Document = Mapping[str, Any]
"""A document of plain types, as YAML and JSON have them."""

Format = Literal["yaml", "json"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendering:
    """A job spec in the form of one platform.

    Attributes:
        documents: What the platform is given, in this order.
        left_out: Parts of the spec for which the platform has no counterpart, and the consequences.
        text: The same as text, for a platform that takes neither YAML nor JSON.
    """

    documents: tuple[Document, ...]
    left_out: tuple[Fault, ...] = ()
    text: str | None = None


Renderer = Callable[[JobSpec], Rendering]
"""Raises JobSpecError if the platform cannot run the job that the spec describes."""


def write(rendering: Rendering, output_format: Format | None = None) -> str:
    """Return a rendering as text that ends in a line feed. The same spec gives the same text.

    Several documents become a YAML stream. In JSON they become a Kubernetes List, which kubectl
    takes, or an array if they are not Kubernetes objects. A single document is written as it is.

    Args:
        rendering: What to write.
        output_format: The format; None for the one that the platform takes.
    """
    if output_format is None and rendering.text is not None:
        return rendering.text
    if output_format == "json":
        return json.dumps(_json_content(rendering), indent=2) + "\n"
    return yaml.dump_all(
        rendering.documents,
        Dumper=_Dumper,
        sort_keys=False,
        width=float("inf"),
        explicit_start=len(rendering.documents) > 1,
    )


def _json_content(rendering: Rendering) -> Any:
    if len(rendering.documents) == 1:
        return rendering.documents[0]
    if all("apiVersion" in document for document in rendering.documents):
        return {"apiVersion": "v1", "kind": "List", "items": rendering.documents}
    return rendering.documents


class _Dumper(yaml.SafeDumper):
    """Writes no aliases: an object that occurs twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
