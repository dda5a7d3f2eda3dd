"""Jobs rendered for Vertex AI, and their conversion into google-cloud-aiplatform's own types."""

from __future__ import annotations

import json
from typing import Any

from google.cloud.aiplatform_v1 import CustomJob, HyperparameterTuningJob

from tests.unit.jobs.specs import spec
from tfps.errors import JobSpecError
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.vertex.render import render


def job(roles: dict[str, Role] | None = None, **fields: Any) -> JobSpec:
    """Return a small spec of which Vertex AI leaves nothing out."""
    return spec(roles, **{"timeout_s": 3600, **fields})


def document(job_spec: JobSpec) -> dict[str, Any]:
    """Return the document of a spec of which nothing is left out."""
    rendering = render(job_spec)
    assert rendering.left_out == ()
    (rendered,) = rendering.documents
    return dict(rendered)


def pool(role: Role, **fields: Any) -> dict[str, Any]:
    """Return the pool of workers that have a role."""
    result: dict[str, Any] = document(job({"worker": role}, **fields))["jobSpec"][
        "workerPoolSpecs"
    ][1]
    return result


def left_out(job_spec: JobSpec) -> list[str]:
    """Return the parts of a spec that are left out, as text."""
    return [str(fault) for fault in render(job_spec).left_out]


def faults(job_spec: JobSpec) -> list[str]:
    """Return the faults of a spec that Vertex AI cannot run, as text."""
    try:
        render(job_spec)
    except JobSpecError as error:
        return [str(fault) for fault in error.faults]
    return []


def round_trip(rendered: dict[str, Any]) -> dict[str, Any]:
    """Convert a document into the API's own type, which refuses unknown fields, and back."""
    kind = HyperparameterTuningJob if "studySpec" in rendered else CustomJob
    message = kind.from_json(json.dumps(rendered), ignore_unknown_fields=False)
    text = kind.to_json(
        message, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    return dict(_with_numbers(json.loads(text)))


def _with_numbers(value: Any, field: str = "") -> Any:
    """Convert each int64, which protobuf's JSON writes as text, to a number."""
    if isinstance(value, dict):
        return {key: _with_numbers(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    is_int64 = isinstance(value, str) and field in ("replicaCount", "minValue", "maxValue")
    return int(value) if is_int64 else value
