"""What tfps writes to standard error."""

from __future__ import annotations

import contextlib
import sys


def say(sentence: str, command: str = "tfps") -> None:
    """Write one line to standard error.

    Args:
        sentence: What to say.
        command: Who says it; stands before the sentence.
    """
    # The reader of standard error may be gone; the work goes on all the same.
    with contextlib.suppress(BrokenPipeError):
        print(f"{command}: {sentence}", file=sys.stderr, flush=True)
