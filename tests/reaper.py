"""Find and end the processes that a test session leaves behind."""

from __future__ import annotations

import os
import time
import uuid

import psutil

MARK = "TFPS_TEST_SESSION"


def mark_session() -> str:
    """Mark this process's environment, which every process started from it inherits.

    A parent's list of children misses an orphan: a process whose own parent was killed first. Its
    environment still tells where it came from.
    """
    mark = uuid.uuid4().hex
    os.environ[MARK] = mark
    return mark


def leftovers(mark: str, grace_s: float) -> list[psutil.Process]:
    """List the processes marked `mark`, this one apart, still alive after `grace_s` seconds."""
    marked = [process for process in psutil.process_iter() if _carries(process, mark)]
    _, alive = psutil.wait_procs(marked, timeout=grace_s)
    return [process for process in alive if _carries(process, mark)]


def describe(process: psutil.Process) -> str:
    """Say which process it is, for the report."""
    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"{process.pid}: ended by itself"


def end(processes: list[psutil.Process]) -> None:
    """Kill `processes` and wait for their ends; init may take a while to take an orphan's code."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + 10
    while any(map(_lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _carries(process: psutil.Process, mark: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return process.environ().get(MARK) == mark and not _serves_python(process)
    except psutil.Error:  # Gone, a zombie, or another user's.
        return False


def _serves_python(process: psutil.Process) -> bool:
    """Tell multiprocessing's own resource tracker, which ends with the interpreter."""
    return any("multiprocessing.resource_tracker" in part for part in process.cmdline())
