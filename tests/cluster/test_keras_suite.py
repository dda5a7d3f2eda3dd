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
# Of the trainer's tests, one of each kind: not each way to compile a model, nor each number of
# steps. These take half a minute of a processor, all of them several times that.
FAST = (
    "not (jit or eager or steps_per_e or unrolled or infinite or _cw or multithreading or underflow"
    " or retracing or sparse or predict_flow or evaluate_flow or callback_methods or native_array"
    " or py_dataset or adapter_generator or raggeds_functional or raggeds_model or recompile)"
)


def run(tmp_path: Path, *arguments: str, shards: int, workers: int) -> None:
    with processes(tmp_path) as ours:
        environ = environment(shards=shards, workers=workers)
        process = ours.start(command(*arguments), environment=environ)
        assert process.wait(LIMIT_S) == os.EX_OK, ours.out()[-8000:]


@pytest.mark.timeout(280)
def test_the_trainers_tests_pass_in_a_scope(tmp_path: Path) -> None:
    run(tmp_path, "trainers/trainer_test.py", "-n", "0", "-k", FAST, shards=2, workers=1)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize(("shards", "workers"), [(1, 2), (2, 1)], ids=["whole", "2 shards"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_keras_tests_pass_in_a_scope(
    tmp_path: Path, folder: str, shards: int, workers: int
) -> None:
    run(tmp_path, folder, shards=shards, workers=workers)
