"""What an API server refused, as a sentence that says what to do."""

from __future__ import annotations

import json
from typing import Any

from tfps.errors import LaunchError
from tfps.jobs.kubernetes.api_resources import ApiResource


def sentence(error: Any, resource: ApiResource) -> str:
    """Say what a server has refused, and what to do.

    Args:
        error: The client's ApiException.
        resource: What was asked for.
    """
    status = _status(error)
    if error.status == 404 and not status:
        return f"The cluster has no {resource.kind}. {_how_to_install(resource)}"
    message = str(status.get("message") or error.reason or f"HTTP status {error.status}")
    return f"{message.rstrip('.')}. {_advice(error.status, status, resource)}".rstrip()


def is_answer(error: LaunchError) -> bool:
    """Return whether a server has refused what it was asked, and not just failed to do it."""
    return 400 <= getattr(error.__cause__, "status", 0) < 500


def is_for_lack_of_rights(error: LaunchError) -> bool:
    """Return whether a server has refused because the user may not do that."""
    return getattr(error.__cause__, "status", None) == 403


def is_for_lack_of_a_role(error: LaunchError) -> bool:
    """Return whether a server has refused a RoleBinding because its Role is not there (yet)."""
    cause = error.__cause__
    if getattr(cause, "status", None) != 404:
        return False
    return bool((_status(cause).get("details") or {}).get("kind") == "roles")


def _advice(code: int, status: dict[str, Any], resource: ApiResource) -> str:
    if code == 401:
        return "Log in to the cluster again; kubectl auth whoami says who you are."
    if code == 403 and resource.kind in ("Role", "RoleBinding"):
        return (
            "Ask for the right to make Roles and RoleBindings there, or use --target jobset, which "
            "needs none."
        )
    if code == 403:
        return "Ask for this right, or use another namespace with -n."
    if code == 404 and (status.get("details") or {}).get("kind") == "namespaces":
        return "Make the namespace with kubectl create namespace, or use another with -n."
    if code == 409:
        return "Someone else changes the job at the same time. Try again, or choose another name."
    return ""


def _how_to_install(resource: ApiResource) -> str:
    if not resource.home:
        return "Use a Kubernetes that has it."
    return f"Install it from {resource.home}, or use --target kubernetes, which needs nothing."


def _status(error: Any) -> dict[str, Any]:
    """Return the `Status` in the body of an answer; empty when it has none."""
    try:
        content = json.loads(error.body)
    except (TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) and content.get("kind") == "Status" else {}
