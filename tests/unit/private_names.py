"""Check that private names of another package are where a module of tfps looks for them."""

from __future__ import annotations

import importlib
import inspect
from typing import Any


def check(module: str, name: str, parameters: list[str] | None, *, used_by: str) -> None:
    """Assert that `module` has `name`, a function with these parameters if they are given."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        assert hasattr(found, part), (
            f"This release has no {module}.{name}, which {used_by} uses; its table there says what "
            "for."
        )
        found = getattr(found, part)
    if parameters is not None:
        assert list(inspect.signature(inspect.unwrap(found)).parameters) == parameters
