"""Files that others read: written so that nobody meets half of one, and waited for."""

from __future__ import annotations

import os
import time
from pathlib import Path

from models.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a passing name in the same folder, then rename it."""
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        passing.write_bytes(content)
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)


def wait_for(path: Path, *, timeout_s: float = 600.0) -> None:
    """Wait until another task has written a file.

    Raises:
        InputError: It is not there after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() >= deadline:
            raise InputError(
                f"Waited {timeout_s:g} s for {path}, which the chief writes. Check that it trains "
                "with the same settings, and that both see the same folder."
            )
        time.sleep(min(0.5, timeout_s))
