"""Keras's own tests pass in a scope, but for those in the table of docs/keras-suite.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster.processes import processes
from tests.keras_suite.__main__ import command, environment

LIMIT_S = 1800
FOLDERS = (
    "trainers",
    "callbacks",
    "optimizers",
    "losses",
    "metrics",
    "saving",
    "models",
    "layers",
)
# Of the trainer's tests, one of each kind: not each way to compile it, nor each number of steps.
FAST = (
    "-n",
    "0",
    "trainers/trainer_test.py",
    "-k",
    "not (jit or eager or steps_per_e or unrolled)",
)


def run(tmp_path: Path, shards: int, *arguments: str) -> None:
    with processes(tmp_path) as ours:
        process = ours.start(command(*arguments), environment=environment(shards))
        code = process.wait(LIMIT_S)
        assert code == os.EX_OK, ours.out()[-8000:]


@pytest.mark.timeout(280)
def test_the_trainers_tests_pass_in_the_scope(tmp_path: Path) -> None:
    run(tmp_path, 1, *FAST)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("shards", [1, 2], ids=["whole", "2 shards"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_keras_tests_pass_in_the_scope(tmp_path: Path, folder: str, shards: int) -> None:
    run(tmp_path, shards, folder)
