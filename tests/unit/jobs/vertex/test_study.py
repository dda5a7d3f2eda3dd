"""A search for the best parameters: what of it Vertex AI is told."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.aiplatform_v1 import StudySpec

from tests.unit.jobs.vertex.renderings import document, job, there_and_back
from tfps.jobs.tuning import Parameter, Tuning

PARAMETERS = {
    "a range": (
        Parameter(minimum=0.1, maximum=0.5),
        {"doubleValueSpec": {"minValue": 0.1, "maxValue": 0.5}, "scaleType": "UNIT_LINEAR_SCALE"},
    ),
    "from zero": (
        Parameter(minimum=0, maximum=0.5),
        {"doubleValueSpec": {"maxValue": 0.5}, "scaleType": "UNIT_LINEAR_SCALE"},
    ),
    "orders of magnitude": (
        Parameter(minimum=1e-5, maximum=0.1, scale="log"),
        {"doubleValueSpec": {"minValue": 1e-5, "maxValue": 0.1}, "scaleType": "UNIT_LOG_SCALE"},
    ),
    "close to one": (
        Parameter(minimum=0.5, maximum=0.999, scale="reverse_log"),
        {
            "doubleValueSpec": {"minValue": 0.5, "maxValue": 0.999},
            "scaleType": "UNIT_REVERSE_LOG_SCALE",
        },
    ),
    "whole numbers": (
        Parameter(minimum=-2, maximum=12, integer=True),
        {"integerValueSpec": {"minValue": -2, "maxValue": 12}, "scaleType": "UNIT_LINEAR_SCALE"},
    ),
    "some numbers": (
        Parameter(values=(0, 16, 32.5), scale="log"),
        {"discreteValueSpec": {"values": [0.0, 16.0, 32.5]}, "scaleType": "UNIT_LOG_SCALE"},
    ),
    "some texts": (
        Parameter(values=("float32", "mixed_bfloat16")),
        {"categoricalValueSpec": {"values": ["float32", "mixed_bfloat16"]}},
    ),
}


def search(parameters: dict[str, Parameter], **fields: Any) -> dict[str, Any]:
    tuning = Tuning(**{"metric": "val_loss", "parameters": parameters, **fields})
    rendered = document(job(tuning=tuning))
    assert there_and_back(rendered) == rendered
    return rendered


@pytest.mark.parametrize(("parameter", "expected"), PARAMETERS.values(), ids=PARAMETERS)
def test_a_parameter_is_searched(parameter: Parameter, expected: dict[str, Any]) -> None:
    study_spec = search({"width": parameter})["studySpec"]
    assert study_spec["parameters"] == [{"parameterId": "width", **expected}]


def test_a_search_that_leaves_all_to_vertex_ai() -> None:
    rendered = search({"width": Parameter(minimum=1, maximum=2)})
    assert rendered["studySpec"]["metrics"] == [{"metricId": "val_loss", "goal": "MINIMIZE"}]
    assert "algorithm" not in rendered["studySpec"]
    assert (rendered["maxTrialCount"], rendered["parallelTrialCount"]) == (10, 1)
    assert "maxFailedTrialCount" not in rendered


def test_a_search_that_leaves_nothing_to_vertex_ai() -> None:
    rendered = search(
        {"width": Parameter(values=(64, 128)), "layers": Parameter(values=(2, 4))},
        goal="maximize",
        algorithm="grid",
        trials=6,
        parallel_trials=3,
        failed_trials=2,
    )
    assert rendered["studySpec"]["metrics"] == [{"metricId": "val_loss", "goal": "MAXIMIZE"}]
    assert rendered["studySpec"]["algorithm"] == "GRID_SEARCH"
    assert (rendered["maxTrialCount"], rendered["parallelTrialCount"]) == (6, 3)
    assert rendered["maxFailedTrialCount"] == 2


def test_random_search() -> None:
    rendered = search({"width": Parameter(minimum=1, maximum=2)}, algorithm="random")
    assert StudySpec.Algorithm[rendered["studySpec"]["algorithm"]] == 3


def test_each_trial_is_the_whole_job() -> None:
    rendered = search({"width": Parameter(minimum=1, maximum=2)})
    assert rendered["trialJobSpec"] == document(job())["jobSpec"]
