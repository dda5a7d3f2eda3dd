"""The recipe models/linear_regression.py from end to end, and again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import linear_regression
from models.lib import recipe
from models.lib.line import Settings
from models.lib.run_folder import RunFolder
from tests.cluster.recipes import row, run_recipe

RECIPE = "linear_regression"


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("make_strategy")
def test_line_is_the_closed_form_and_a_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = ("--learning-rate", "0.1", "--steps-per-epoch", "60")
    output = run_recipe(RECIPE, tmp_path, *fast, "--epochs", "2")

    assert "epoch 2/2: held-out mse " in output
    theta = row(output, "closed form")[:2]
    assert row(output, "tfps")[:2] == pytest.approx(theta, abs=1e-3)
    assert row(output, "plain Keras")[:2] == pytest.approx(theta, abs=1e-3)
    baseline_mse, baseline_r2 = row(output, "mean of y")[2:]
    assert row(output, "tfps")[2] < 0.8 * baseline_mse
    assert row(output, "tfps")[3] > 0.2 > 0.1 > baseline_r2

    folder = RunFolder(tmp_path / "runs" / RECIPE)
    assert {path.name for path in folder.path.iterdir()} == {
        *("checkpoints", "config.json", "history.csv", "line.png", "loss.png", "result.txt"),
        "tensorboard",
    }
    assert folder.result_file.read_text() in output
    assert json.loads(folder.config_file.read_text())["identity"]["x"] == "bmi"

    monkeypatch.chdir(tmp_path)  # In this process, which has TensorFlow and a cluster already.
    settings = Settings(learning_rate=0.1, steps_per_epoch=60, epochs=3)
    recipe.run(RECIPE, settings, linear_regression.prepare, linear_regression.evaluate)
    output = capsys.readouterr().out

    assert "resuming after epoch 2 of 3." in output
    assert "epoch 2/3" not in output
    assert "epoch 3/3: held-out mse " in output
    assert row(output, "tfps")[:2] == pytest.approx(theta, abs=1e-3)
    assert [epoch["epoch"] for epoch in folder.history()] == [0, 1, 2]
    # The third epoch continued from the weights of the second.
    assert folder.history()[2]["loss"] == pytest.approx(folder.history()[1]["loss"], rel=1e-3)
    assert folder.history()[2]["baseline_mse"] == pytest.approx(baseline_mse, rel=1e-4)
