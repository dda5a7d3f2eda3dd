"""The sum of the metric state of all dispatches."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfps.step.report import MetricSums


def states(metric: keras.metrics.Metric) -> list[np.ndarray]:
    return [v.numpy() for v in metric.variables]


@pytest.mark.parametrize(
    "make",
    [
        keras.metrics.BinaryAccuracy,
        keras.metrics.AUC,
        lambda: keras.metrics.F1Score(average="micro"),
        lambda: keras.metrics.MeanIoU(num_classes=2),
        keras.metrics.R2Score,
    ],
)
def test_parts_add_up_to_the_metric_over_all_examples(make: object) -> None:
    generator = np.random.default_rng(0)
    y_true = generator.integers(0, 2, (60, 1)).astype("float32")
    y_pred = generator.uniform(size=(60, 1)).astype("float32").round(1)
    if make is not keras.metrics.AUC:
        y_pred = y_pred.round()
    whole, part, summed = make(), make(), make()  # type: ignore[operator]
    for metric in (whole, part, summed):
        metric.update_state(y_true, y_pred)  # makes the state of some
    summed.reset_state()
    sums = MetricSums(summed.variables)
    for first in range(0, 60, 7):
        part.reset_state()
        part.update_state(y_true[first : first + 7], y_pred[first : first + 7])
        sums.add(states(part))
    sums.assign()
    np.testing.assert_allclose(summed.result(), whole.result(), rtol=1e-5)


def test_a_reset_forgets_all_parts_and_counts_stay_exact_in_their_dtype() -> None:
    mean = keras.metrics.Mean()
    count = keras.Variable(0, dtype="int64")
    sums = MetricSums([*mean.variables, count])
    sums.add([5.0, 2.0, 2**53])
    sums.add([1.0, 1.0, 1])
    assert float(mean.result()) == 0.0
    sums.assign()
    assert float(mean.result()) == 2.0
    assert int(count.numpy()) == 2**53 + 1
    mean.reset_state()
    sums.reset()
    sums.add([3.0, 1.0, 1])
    sums.assign()
    assert float(mean.result()) == 3.0
