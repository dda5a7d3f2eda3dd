"""The recipe models/mlp.py from end to end, and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.lib.images import digits
from models.lib.run_folder import RunFolder
from tests.cluster.recipes import row, run_recipe


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_digits_are_learned_and_a_run_resumes(tmp_path: Path) -> None:
    output = run_recipe("mlp", tmp_path, "--epochs", "3", "--name", "digits")

    assert "epoch 3/3: held-out accuracy 0." in output
    (accuracy,), (alone,) = row(output, "tfps"), row(output, "plain Keras")
    assert accuracy > 0.8
    assert accuracy == pytest.approx(alone, abs=0.1)
    most_frequent = digits().most_frequent_accuracy
    assert row(output, "most frequent class") == [pytest.approx(most_frequent, abs=1e-3)]

    folder = RunFolder(tmp_path / "runs" / "digits")
    assert {path.name for path in folder.path.iterdir()} == {
        *("checkpoints", "config.json", "history.csv", "loss.png", "predictions.png", "result.txt"),
        "tensorboard",
    }
    assert folder.result_file.read_text() in output
    assert json.loads(folder.config_file.read_text())["settings"]["batch_size"] == 32

    output = run_recipe("mlp", tmp_path, "--epochs", "4", "--name", "digits")

    assert "resuming after epoch 3 of 4." in output
    assert "epoch 3/4" not in output
    assert "epoch 4/4: held-out accuracy 0." in output
    history = folder.history()
    assert [epoch["epoch"] for epoch in history] == [0, 1, 2, 3]
    # The fourth epoch continued from the weights of the third.
    assert history[3]["loss"] < 0.5 * history[0]["loss"]

    output = run_recipe("mlp", tmp_path, "--epochs", "4", "--name", "digits")

    assert "runs/digits is finished: 4 epochs." in output

    wire = ("--pull", "int8", "--push", "topk", "--overlap")
    output = run_recipe("mlp", tmp_path, "--epochs", "6", "--name", "coded", *wire)

    assert row(output, "tfps")[0] > 0.6
    folder = RunFolder(tmp_path / "runs" / "coded")
    assert json.loads(folder.config_file.read_text())["identity"]["push"] == "topk"
    last = folder.history()[-1]
    assert last["pull_bytes"] < 0.3 * last["uncoded_pull_bytes"]
    assert last["push_bytes"] < 0.2 * last["uncoded_push_bytes"]
