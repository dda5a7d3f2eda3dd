"""Signals that ask a task to end."""

from __future__ import annotations

import os
import signal
from types import FrameType


class SignalReceived(BaseException):
    """Raised in the main thread, wherever it is, when a signal asks the process to end.

    Attributes:
        code: The exit code for it, as a shell reports it: 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        """Make it for the signal of a number."""
        super().__init__(number)
        self.code = 128 + number


def raise_on_signals() -> None:
    """Have SIGTERM and SIGINT raise `SignalReceived` in the main thread, which calls this."""

    def end(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the ending that the first one started.
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, signal.SIG_IGN)
        raise SignalReceived(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def end_on_sigterm_as_init() -> None:
    """Have SIGTERM end this process where it is the first of its container.

    The kernel spares a process of id 1 each signal that it has no handler for, so that whoever
    stops the container would wait in vain, and then kill it.
    """
    if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # At once, as elsewhere; a program that wants more has a handler of its own.
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))
