"""The recipe models/linear_regression.py from end to end, and again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.run_folder import RunFolder
from tests.cluster.recipes import row, run_recipe

RECIPE = "linear_regression"


@pytest.mark.timeout(300)
def test_line_is_the_closed_form_and_a_run_resumes(tmp_path: Path) -> None:
    said = run_recipe(RECIPE, tmp_path, "--epochs", "4")

    assert "epoch 4/4: held-out mse " in said
    theta = row(said, "closed form")[:2]
    assert row(said, "tfps")[:2] == pytest.approx(theta, abs=1e-3)
    assert row(said, "plain Keras")[:2] == pytest.approx(theta, abs=1e-3)
    baseline_mse, baseline_r2 = row(said, "mean of y")[2:]
    assert row(said, "tfps")[2] < 0.8 * baseline_mse
    assert row(said, "tfps")[3] > 0.2 > 0.1 > baseline_r2

    folder = RunFolder(tmp_path / "runs" / RECIPE)
    assert {path.name for path in folder.path.iterdir()} == {
        *("checkpoints", "config.json", "history.csv", "line.png", "loss.png", "result.txt"),
        "tensorboard",
    }
    assert folder.result_file.read_text() in said
    assert json.loads(folder.config_file.read_text())["identity"]["x"] == "bmi"

    said = run_recipe(RECIPE, tmp_path, "--epochs", "5")

    assert "resuming after epoch 4 of 5." in said
    assert "epoch 4/5" not in said
    assert "epoch 5/5: held-out mse " in said
    assert row(said, "tfps")[:2] == pytest.approx(theta, abs=1e-3)
    assert [epoch["epoch"] for epoch in folder.history()] == [0, 1, 2, 3, 4]
    # The fifth epoch went on from what the fourth had reached.
    assert folder.history()[4]["loss"] == pytest.approx(folder.history()[3]["loss"], rel=1e-3)
    assert folder.history()[4]["baseline_mse"] == pytest.approx(baseline_mse, rel=1e-4)

    said = run_recipe(RECIPE, tmp_path, "--epochs", "5")

    assert "runs/linear_regression is finished: 5 epochs." in said
