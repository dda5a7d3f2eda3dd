"""models/lib/classification.py: known numbers, and a picture."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from models.lib.classification import ClassificationReport
from models.lib.run_folder import png

CLASSES = ("cats", "dogs", "a $ and a _")
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 2])


def test_confusion_has_a_row_for_each_true_class() -> None:
    report = ClassificationReport.of(CLASSES, LABELS, PREDICTED)
    np.testing.assert_array_equal(report.confusion, [[2, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_numbers_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 3, (2, 100))
    report = ClassificationReport.of(CLASSES, labels, predicted)
    assert report.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    np.testing.assert_allclose(report.f1, metrics.f1_score(labels, predicted, average=None))


def test_class_without_examples_and_predictions_has_f1_of_0() -> None:
    report = ClassificationReport.of(CLASSES, LABELS[:5], PREDICTED[:5])
    assert report.f1.tolist() == [pytest.approx(2 / 3), 0.5, 0.0]


def test_table_has_a_line_for_each_class() -> None:
    report = ClassificationReport.of(CLASSES, LABELS, PREDICTED)
    assert report.headline == "accuracy 0.667, mean F1 0.722"
    assert report.table.splitlines() == [
        "class           F1  texts",
        "cats         0.667      3",
        "dogs         0.500      2",
        "a $ and a _  1.000      1",
    ]


@pytest.mark.parametrize("count", [2, 3, 40])
def test_picture_is_a_png(count: int) -> None:
    classes = [*CLASSES, *map(str, range(40))][:count]
    labels = np.arange(count)
    figure = ClassificationReport.of(classes, labels, labels).draw()
    assert png(figure).startswith(b"\x89PNG")
