"""Silence what TensorFlow's C++ code logs when it starts, unless TF_CPP_MIN_LOG_LEVEL is 0.

TensorFlow reads the variable only after its libraries have logged their first messages, so setting
it is not enough. While TensorFlow is imported, standard error passes through a process that runs
this file and drops those messages. All other lines get through, even if the import aborts.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import BinaryIO

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
EVERYTHING = "0"
_NO_INFO = "1"
_FILTER_EXIT_S = 5.0

# How TensorFlow writes INFO, and what it says before its first message; how SentencePiece does.
_INFO = re.compile(
    rb"I\d{4} \d\d:\d\d:[\d.]+ +\d+ \S+\.cc:\d+\] "
    rb"|WARNING: All log messages before absl::InitializeLog\(\) "
    rb"|\S+\.cc\(\d+\) LOG\(INFO\) "
)


def is_info(line: bytes) -> bool:
    """Return whether a line is an INFO message of TensorFlow's or SentencePiece's C++ code."""
    return _INFO.match(line) is not None


def quiet_tensorflow() -> None:
    """Silence TensorFlow's start-up messages in this process, and INFO messages after that.

    If TensorFlow is not imported yet, this happens when it is. Child processes inherit the level.
    """
    if os.environ.get(LOG_LEVEL) == EVERYTHING:
        return
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _TensorFlowFinder())
    elif LOG_LEVEL not in os.environ:
        # TensorFlow has read its environment already.
        from tfps._tensorflow import set_log_level

        os.environ[LOG_LEVEL] = _NO_INFO
        set_log_level(int(_NO_INFO))


class _TensorFlowFinder(importlib.abc.MetaPathFinder):
    """Wraps the first import of TensorFlow; all other modules are left to other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _wrap(spec.loader)
        return spec


def _wrap(loader: importlib.abc.Loader) -> None:
    execute = loader.exec_module

    def execute_quietly(module: ModuleType) -> None:
        vars(loader).pop("exec_module", None)  # Only once; the class has its own method.
        os.environ.setdefault(LOG_LEVEL, _NO_INFO)
        with _filtered_stderr():
            execute(module)

    vars(loader)["exec_module"] = execute_quietly


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Pass what this process writes to file descriptor 2 through a filter, within the block."""
    try:
        stderr = os.dup(2)
    except OSError:  # Standard error is closed.
        yield
        return
    read_end, write_end = os.pipe()
    try:
        command = [sys.executable, "-I", "-S", __file__]
        process = subprocess.Popen(command, stdin=read_end, stdout=stderr, stderr=stderr)
    except OSError:
        process = None
    else:
        os.dup2(write_end, 2)
    os.close(read_end)
    os.close(write_end)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_FILTER_EXIT_S)


def copy_without_info(source: BinaryIO, sink: BinaryIO) -> None:
    """Copy lines as they arrive, without INFO messages."""
    for line in source:
        if not is_info(line):
            sink.write(line)
            sink.flush()


if __name__ == "__main__":
    # Control-C at a terminal reaches this process as well; it ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    copy_without_info(sys.stdin.buffer, sys.stdout.buffer)
