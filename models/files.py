"""Writing files so that a reader, or a run that resumes, never meets half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a passing name in the same folder, then rename it."""
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        passing.write_bytes(content)
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)
