"""What a trial reports to Vertex AI's search, and that elsewhere it reports nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfps.training import report_metric
from tfps.training.report_metric import ReportMetric, metric_file


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hypertune" / "output.metrics"
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", str(path))
    monkeypatch.setenv("CLOUD_ML_TRIAL_ID", "3")
    return path


def reported(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_each_epoch_is_a_line_as_cloudml_hypertune_writes_it(file: Path) -> None:
    callback = ReportMetric("val_loss")
    for epoch, loss in enumerate([2.5, np.float32(1.25)]):
        callback.on_epoch_end(epoch, {"loss": 3.0, "val_loss": loss})
    lines = reported(file)
    assert all(isinstance(line.pop("timestamp"), float) for line in lines)
    assert lines == [
        {"trial": "3", "val_loss": "2.5", "global_step": "1"},
        {"trial": "3", "val_loss": "1.25", "global_step": "2"},
    ]


def test_a_hundred_lines_are_kept_as_cloudml_hypertune_does(file: Path) -> None:
    callback = ReportMetric("loss")
    for epoch in range(103):
        callback.on_epoch_end(epoch, {"loss": 1.0})
    steps = [line["global_step"] for line in reported(file)]
    assert steps == [str(step) for step in range(4, 104)]


def test_an_epoch_without_the_metric_is_warned_of(file: Path) -> None:
    with pytest.warns(UserWarning, match="epoch 1 has no 'val_loss', but has loss, mae") as caught:
        ReportMetric("val_loss").on_epoch_end(0, {"loss": 1.0, "mae": 1.0})
    assert str(caught[0].message).endswith("Name one of them, or give fit validation_data.")
    assert not file.exists()


def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_metric, "_FILE", str(tmp_path / "metrics"))
    ReportMetric("loss").on_epoch_end(0, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, None),
        ({"CLOUD_ML_PROJECT_ID": "12345"}, "/tmp/hypertune/output.metrics"),
        ({"CLOUD_ML_HP_METRIC_FILE": "/a/b"}, "/a/b"),
    ],
)
def test_vertex_ai_is_known_by_its_variables(environ: dict[str, str], path: str | None) -> None:
    assert metric_file(environ) == (None if path is None else Path(path))
