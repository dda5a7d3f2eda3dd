"""The guard against processes that outlive a test session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import reaper

ROOT = Path(__file__).resolve().parents[2]
WAIT_FOREVER = "import signal; signal.pause()"
# Its own parent is gone before the test looks, so no list of children has it.
START_ORPHAN = f"""
import subprocess, sys
process = subprocess.Popen([sys.executable, "-c", {WAIT_FOREVER!r}], stdout=subprocess.DEVNULL)
print(process.pid)
"""


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # Restored afterwards: the session's own mark must reach the processes of later tests.
    monkeypatch.setenv(reaper.MARK, os.environ[reaper.MARK])
    mark = reaper.mark_session()
    yield mark
    reaper.end(reaper.leftovers(mark, grace_s=0))


def test_a_running_child_is_found_and_ended(mark: str) -> None:
    with subprocess.Popen([sys.executable, "-c", WAIT_FOREVER]) as child:
        found = reaper.leftovers(mark, grace_s=0)
        assert [process.pid for process in found] == [child.pid]
        assert "signal.pause" in reaper.describe(found[0])
        reaper.end(found)
    assert reaper.leftovers(mark, grace_s=0) == []


def test_an_orphan_is_found(mark: str) -> None:
    pid = int(subprocess.check_output([sys.executable, "-c", START_ORPHAN]))
    assert pid not in [child.pid for child in psutil.Process().children(recursive=True)]
    assert [process.pid for process in reaper.leftovers(mark, grace_s=0)] == [pid]


def test_a_process_that_ends_within_the_grace_is_not_left_over(mark: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert reaper.leftovers(mark, grace_s=30) == []


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_session_that_leaves_a_process_behind_fails(tmp_path: Path, processes: str) -> None:
    test = tmp_path / "test_leaky.py"
    test.write_text(
        "import subprocess, sys\n"
        f"def test_leaks(): subprocess.Popen([sys.executable, '-c', {WAIT_FOREVER!r}])\n"
    )
    (tmp_path / "impatient.py").write_text("from tests import conftest\nconftest._GRACE_S = 1\n")
    session = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "impatient"]
    result = subprocess.run(
        [*session, "-p", "no:cacheprovider", "-n", processes, "--rootdir", tmp_path, test],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout
    assert "1 passed" in result.stdout
    assert "processes left behind" in result.stdout
