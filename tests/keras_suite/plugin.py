"""A pytest plugin that runs Keras's own tests in the scope of a strategy.

TFPS_KERAS_SUITE_SHARDS is the number of shards of each variable; 0 is plain Keras, without a
strategy. TFPS_KERAS_SUITE_WORKERS is the number of workers.
"""

from __future__ import annotations

import os

import pytest

from tests.keras_suite import expected

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SHARDS = int(os.environ.get("TFPS_KERAS_SUITE_SHARDS", "1"))
WORKERS = int(os.environ.get("TFPS_KERAS_SUITE_WORKERS", "2"))


def pytest_configure(config: pytest.Config) -> None:
    # The process that starts others only waits for them: it needs no TensorFlow.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        from tests.keras_suite import scope

        scope.prepare(SHARDS, WORKERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    failures = expected.read(expected.PAGE.read_text())
    for item in items:
        for failure in failures:
            if failure.concerns(item.nodeid, SHARDS, WORKERS):
                item.add_marker(_mark(failure))


def _mark(failure: expected.Failure) -> pytest.MarkDecorator:
    if failure.result == "not run":
        return pytest.mark.skip(reason=failure.reason)
    return pytest.mark.xfail(reason=failure.reason, strict=failure.result == "fails")
