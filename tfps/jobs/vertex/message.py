"""Messages of Vertex AI's API in the form that protobuf gives them in JSON."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]


def message(**fields: Any) -> Message:
    """Make a message of its fields; those that are None or of their default value are left out."""
    return {name: value for name, value in fields.items() if value}
