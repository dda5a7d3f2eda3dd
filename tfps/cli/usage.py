"""Usage errors of all subcommands: one line each on standard error, and exit code 2."""

from __future__ import annotations

from collections.abc import Iterable

from tfps.log import say

USAGE_ERROR = 2
TAKES_NO_PROGRAM = "runs no program; leave out what follows --."


def usage_error(command: str, faults: Iterable[str]) -> int:
    """Write the faults of a command line to standard error, and return the exit code."""
    for fault in faults:
        say(fault, f"tfps {command}")
    return USAGE_ERROR
