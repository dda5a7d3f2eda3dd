"""A rendering as text: YAML or JSON, the same for the same spec."""

from __future__ import annotations

import json
from typing import Any, Literal

import yaml

from tfps.jobs.rendering import Rendering

Format = Literal["yaml", "json"]


def write(rendering: Rendering, form: Format | None = None) -> str:
    """Write what was rendered, the last line ended.

    YAML has the documents one after the other. JSON, which has no such thing, has a Kubernetes
    List, which kubectl takes, or else an array; one document is written as it is.

    Args:
        rendering: What was rendered.
        form: How; None for what the platform takes, a text of its own or else YAML.
    """
    if form is None and rendering.text is not None:
        return rendering.text
    if form != "json":
        return yaml.dump_all(
            rendering.documents,
            Dumper=_Dumper,
            sort_keys=False,
            width=float("inf"),
            explicit_start=len(rendering.documents) > 1,
        )
    return json.dumps(_one(rendering), indent=2) + "\n"


def _one(rendering: Rendering) -> Any:
    if len(rendering.documents) == 1:
        return rendering.documents[0]
    if all("apiVersion" in document for document in rendering.documents):
        return {"apiVersion": "v1", "kind": "List", "items": rendering.documents}
    return rendering.documents


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice, and lists under their key as kubectl does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
