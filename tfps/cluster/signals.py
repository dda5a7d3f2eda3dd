"""Signals that ask a task's process to end."""

from __future__ import annotations

import os
import signal
from types import FrameType


class SignalReceived(BaseException):
    """A signal has asked the process to end; raised in the main thread, wherever it is.

    Attributes:
        code: The exit code that a shell reports for it: 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        """Take the signal's number."""
        super().__init__(number)
        self.code = 128 + number


def raise_on_signals() -> None:
    """Make SIGTERM and SIGINT raise `SignalReceived` in the main thread, which must call this."""

    def end(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the shutdown that the first one started.
        for ignored in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ignored, signal.SIG_IGN)
        raise SignalReceived(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def end_on_sigterm_as_init() -> None:
    """Make SIGTERM end this process if it is the first process of its container.

    The kernel does not deliver a signal to process 1 unless it has a handler. Without one, stopping
    the container waits for its grace period and then kills the process.
    """
    if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # At once, as for any other process. A program that has its own handler keeps it.
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))
