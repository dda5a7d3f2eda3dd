"""What holds for every test: no GPU, no TF_CONFIG, few log lines, no process left behind.

TensorFlow is not imported here: most unit tests do without it, and it costs seconds.
"""

from __future__ import annotations

import gc
import os

import pytest

from tests import reaper

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
# Graphs are made faster without oneDNN's rewrites, and numbers are those of plain TensorFlow ops.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["PYTHONFAULTHANDLER"] = "1"  # A process that crashes in native code says where.
os.environ.pop("TF_CONFIG", None)
gc.disable()  # Imports make no garbage, and collections take a third of their time.

_MARK = pytest.StashKey[str]()
_LEFTOVERS = pytest.StashKey[list[str]]()
_GRACE_S = 5.0


def pytest_configure(config: pytest.Config) -> None:
    # Of a run in several processes, the one that started the others looks for what is left.
    if not hasattr(config, "workerinput"):
        config.stash[_MARK] = reaper.mark_session()


def pytest_collection_finish() -> None:
    gc.freeze()  # What is imported stays: the garbage collector need not look at it again.
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _MARK not in session.config.stash:
        return
    left = reaper.leftovers(session.config.stash[_MARK], _GRACE_S)
    session.config.stash[_LEFTOVERS] = [reaper.describe(process) for process in left]
    if left:
        reaper.end(left)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left = config.stash.get(_LEFTOVERS, [])
    if left:
        terminalreporter.section("processes left behind (killed; the run fails)", red=True)
        for line in left:
            terminalreporter.line(line)
