"""What a renderer makes of a job spec: a pure function from the spec to documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tfps.errors import Fault
from tfps.jobs.spec import JobSpec

Document = Mapping[str, Any]
"""Plain types only: what YAML and JSON write."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendering:
    """A job spec as one platform has it.

    Attributes:
        documents: What the platform is given, in this order.
        left_out: What of the spec the platform has no counterpart for, and what that means.
        text: What a platform is given that takes neither YAML nor JSON; the documents hold it, too.
    """

    documents: tuple[Document, ...]
    left_out: tuple[Fault, ...] = ()
    text: str | None = None


Renderer = Callable[[JobSpec], Rendering]
"""Raises JobSpecError when the platform cannot run the job as the spec has it."""
