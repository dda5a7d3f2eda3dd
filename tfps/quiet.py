"""Silence INFO messages of TensorFlow's C++ code, unless TF_CPP_MIN_LOG_LEVEL is set."""

from __future__ import annotations

import os
import re
import sys

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
EVERYTHING = "0"
_NO_INFO = "1"

# How TensorFlow writes INFO, and what it says before its first message; how SentencePiece does. And
# a warning now and then: a server clears what was left of a call that is over. No update is lost.
_NOISE = re.compile(
    rb"I\d{4} \d\d:\d\d:[\d.]+ +\d+ \S+\.cc:\d+\] "
    rb"|WARNING: All log messages before absl::InitializeLog\(\) "
    rb"|\S+\.cc\(\d+\) LOG\(INFO\) "
    rb"|W\d{4} \d\d:\d\d:[\d.]+ +\d+ local_rendezvous\.cc:\d+\] "
    rb"Local rendezvous is aborting with status: ABORTED: Cleanup "
)


def is_noise(line: bytes) -> bool:
    """Return whether C++ code wrote a line that tells a user nothing, such as INFO messages."""
    return _NOISE.match(line) is not None


def quiet_tensorflow() -> None:
    """Silence TensorFlow's INFO messages in this process, and in child processes.

    A few lines remain: TensorFlow writes them while it is imported, before it reads the level.
    `tfps local` drops them from the output of its tasks.
    """
    if LOG_LEVEL in os.environ:
        return
    os.environ[LOG_LEVEL] = _NO_INFO
    if "tensorflow" in sys.modules:  # It has read its environment already.
        from tfps._tensorflow import set_log_level

        set_log_level(int(_NO_INFO))
