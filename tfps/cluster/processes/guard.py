"""Run work in a child process, and leave no descendant behind, however either of them ends.

The launcher forks. Its child does the work in a new session and adopts every descendant that loses
its parent (Linux's "child subreaper"), so that it can find them all. A pipe from the launcher,
which only the launcher's end closes, tells the child that the launcher is gone, even by SIGKILL.
The launcher is a subreaper as well: when the child is gone, it kills the remaining descendants.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

FORWARDED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def guarded(work: Callable[[int], int]) -> int:
    """Run `work` in a child process and return its exit code; leave no descendant behind.

    SIGINT, SIGTERM and SIGHUP reach the child only through this process, which forwards them. Call
    this from the main thread of a process without other threads.

    Args:
        work: Runs in the child and returns the exit code. Its argument is a file descriptor that
            becomes readable when this process is gone. The three signals are blocked until it has
            installed its handlers and calls `unblock_signals`.
    """
    _adopt_orphans()
    launcher_gone, held_by_launcher = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    child = os.fork()
    if child == 0:
        os.close(held_by_launcher)
        _work_and_exit(work, launcher_gone)
    os.close(launcher_gone)
    _forward_signals(child)
    try:
        _, status = os.waitpid(child, 0)
    finally:
        os.close(held_by_launcher)
        kill_descendants()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def unblock_signals() -> None:
    """Unblock the forwarded signals in this process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED_SIGNALS)


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent ends (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_descendants(*, timeout_s: float = 10.0) -> None:
    """Kill all descendants of this process, new ones included, and reap its children."""
    deadline = time.monotonic() + timeout_s
    while descendants := psutil.Process().children(recursive=True):
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _reap()
        if time.monotonic() >= deadline:
            break
        time.sleep(0.01)


def kill_session(leader: int) -> None:
    """Kill those descendants of this process that are in the session of a leader that has ended."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == leader:
                process.kill()


def _work_and_exit(work: Callable[[int], int], launcher_gone: int) -> None:
    code = 1
    try:
        os.setsid()
        _adopt_orphans()
        code = work(launcher_gone)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        kill_descendants()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Do not run the launcher's own cleanup a second time in the child.
        os._exit(code)


def _forward_signals(child: int) -> None:
    def forward(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in FORWARDED_SIGNALS:
        signal.signal(number, forward)
    unblock_signals()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _adopt_orphans() -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, argument: int) -> None:
    if _libc is not None and _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
