"""TensorFlow's INFO messages: silenced, unless they are wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfps import quiet


def level_after(script: str, level: str | None = None) -> str:
    """Run a script that imports tfps; return the log level of its child processes."""
    environment = {**os.environ, "PYTHONPATH": str(Path(quiet.__file__).parents[1])}
    environment.pop(quiet.LOG_LEVEL, None)
    if level is not None:
        environment[quiet.LOG_LEVEL] = level
    script += f"\nimport os\nprint(os.environ.get({quiet.LOG_LEVEL!r}))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_tensorflow_and_child_processes_find_the_level() -> None:
    assert level_after("import tfps") == "1"


@pytest.mark.parametrize("level", ["0", "2"])
def test_a_level_of_the_users_own_stays(level: str) -> None:
    assert level_after("import tfps", level) == level


CLEARS = (
    "W0000 00:00:1796043844.049407   14832 local_rendezvous.cc:412] "
    "Local rendezvous is aborting with status: "
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"WARNING: All log messages before absl::InitializeLog() is called are written", True),
        (b"I0000 00:00:1795267252.336268    2955 port.cc:153] oneDNN custom operations", True),
        (b"W0000 00:00:1795267252.336268    2955 a.cc:1] a warning", False),
        (b"E0000 00:00:1795267252.336268    2955 b.cc:1] an error", False),
        (b"I think so", False),
        (f"{CLEARS}CANCELLED: no".encode(), False),
        (f"{CLEARS}ABORTED: Cleanup -23495 [type.googleapis.com/x='']".encode(), True),
    ],
)
def test_info_messages_and_what_is_left_of_a_call_are_noise(line: bytes, expected: bool) -> None:
    assert quiet.is_noise(line) == expected
