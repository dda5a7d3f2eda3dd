"""What `tfps doctor` says while it works: on standard error, beside the report."""

from __future__ import annotations

import contextlib
import sys

from tfps.doctor.wording import printable


def say(sentence: str) -> None:
    """Write a line to standard error."""
    # Whoever read our standard error may be gone; the work goes on all the same.
    with contextlib.suppress(BrokenPipeError):
        print(f"tfps doctor: {printable(sentence)}", file=sys.stderr, flush=True)
