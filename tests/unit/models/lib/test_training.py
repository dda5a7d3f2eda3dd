"""models/lib/training.py: the logs that callbacks share, and the loss curve."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest

from models.lib.run_folder import RunFolder, png
from models.lib.training import CompareWithBaseline, LossCurve, Yardstick, loss_curve

HISTORY = "epoch,loss,val_loss,val_perplexity\n0,6,5.5,245\n1,5,4.5,90\n"
YARDSTICK = Yardstick(
    metric="perplexity", baseline="unigram distribution", baseline_value=360.06, number_format=".1f"
)


def test_baseline_is_put_beside_the_models_metric(capsys: pytest.CaptureFixture[str]) -> None:
    logs = {"val_perplexity": 90.04}
    CompareWithBaseline(YARDSTICK, epochs=4).on_epoch_end(1, logs)
    assert logs == {"val_perplexity": 90.04, "baseline_perplexity": 360.06}
    assert capsys.readouterr().out == (
        "epoch 2/4: held-out perplexity 90.0 (unigram distribution: 360.1)\n"
    )


def test_curve_is_a_png_drawn_at_each_epochs_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.history_file.write_text(HISTORY)
    LossCurve(folder, YARDSTICK).on_epoch_end(1)
    content = folder.curve_file.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert struct.unpack(">II", content[16:24]) == (1000, 400)


@pytest.mark.parametrize("log_scale", [False, True])
def test_curve_of_one_epoch_can_be_drawn(tmp_path: Path, log_scale: bool) -> None:
    folder = RunFolder(tmp_path)
    folder.history_file.write_text("".join(HISTORY.splitlines(keepends=True)[:2]))
    yardstick = dataclasses.replace(YARDSTICK, log_scale=log_scale)
    assert png(loss_curve(folder.history(), yardstick)).startswith(b"\x89PNG")
