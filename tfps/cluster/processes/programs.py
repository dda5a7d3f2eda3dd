"""Whether the program of a task can be run on this machine."""

from __future__ import annotations

import os
import shutil


def program_fault(program: str, path: str | None = None) -> str | None:
    """Say why a program cannot be run, or return None.

    Args:
        program: Its path, or its name.
        path: Folders to look for a name in; None for this process's PATH.
    """
    if shutil.which(program, path=path) is not None:
        return None
    if program.endswith(".py") and os.path.exists(program):
        return f"{program!r} is not executable. Write python {program}"
    return f"program {program!r} was not found. Give its path, or one that is on PATH."
