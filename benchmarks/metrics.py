"""Every metric of Keras over several workers, beside plain Keras on one process.

    python -m benchmarks.metrics

evaluates 1,003 weighted examples on 3 workers and 2 ps inside this process and in
plain Keras, in batches of 16, once for each metric, and prints the largest difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_nlp
import numpy as np
import tyro
from keras import metrics

import tfps
from benchmarks import launch, report

EXAMPLES = 1003
BATCH = 16
CLASSES = 4
MOST_APART = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare each metric over 3 workers with plain Keras."""

    json: Path | None = None
    """A file to write the numbers to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Predictions and targets of one kind, whose first axis counts the examples.

    Attributes:
        predictions: What the model gives: it passes its inputs on.
        targets: What is right.
    """

    predictions: np.ndarray
    targets: np.ndarray


_random = np.random.default_rng(0)
_logits = _random.normal(size=(EXAMPLES, CLASSES)).astype("float32")
_probabilities = np.exp(_logits) / np.exp(_logits).sum(axis=1, keepdims=True)
_labels = _random.integers(0, CLASSES, EXAMPLES)
_one_hot = np.eye(CLASSES, dtype="float32")[_labels]
_positive = _random.random((EXAMPLES, 1)).astype("float32")
REGRESSION = Data(
    predictions=_logits + 1.5,
    targets=_random.random((EXAMPLES, CLASSES)).astype("float32"),
)
BINARY = Data(predictions=_positive, targets=(_positive > _random.random((EXAMPLES, 1))) * 1.0)
CLASSIFIED = Data(predictions=_probabilities.astype("float32"), targets=_one_hot)
LABELLED = Data(predictions=_probabilities.astype("float32"), targets=_labels[:, None])
SIGNS = Data(predictions=_logits, targets=2 * _one_hot - 1)
IDS = Data(
    predictions=_random.integers(0, CLASSES, (EXAMPLES, 1)).astype("float32"),
    targets=_labels[:, None].astype("float32"),
)
TOKENS = Data(
    predictions=_random.random((EXAMPLES, 5, CLASSES)).astype("float32"),
    targets=_random.integers(0, CLASSES, (EXAMPLES, 5)),
)

CASES: dict[str, tuple[Callable[[], Any], Data]] = {
    "Mean (the loss)": (lambda: metrics.MeanSquaredError(name="m"), REGRESSION),
    "MeanSquaredError": (metrics.MeanSquaredError, REGRESSION),
    "RootMeanSquaredError": (metrics.RootMeanSquaredError, REGRESSION),
    "MeanAbsoluteError": (metrics.MeanAbsoluteError, REGRESSION),
    "MeanAbsolutePercentageError": (metrics.MeanAbsolutePercentageError, REGRESSION),
    "MeanSquaredLogarithmicError": (metrics.MeanSquaredLogarithmicError, CLASSIFIED),
    "CosineSimilarity": (metrics.CosineSimilarity, REGRESSION),
    "LogCoshError": (metrics.LogCoshError, REGRESSION),
    "R2Score": (metrics.R2Score, REGRESSION),
    "PearsonCorrelation": (metrics.PearsonCorrelation, REGRESSION),
    "ConcordanceCorrelation": (metrics.ConcordanceCorrelation, REGRESSION),
    "AUC": (metrics.AUC, BINARY),
    "AUC, multi-label": (lambda: metrics.AUC(multi_label=True), CLASSIFIED),
    "TruePositives": (metrics.TruePositives, BINARY),
    "TrueNegatives": (metrics.TrueNegatives, BINARY),
    "FalsePositives": (metrics.FalsePositives, BINARY),
    "FalseNegatives": (metrics.FalseNegatives, BINARY),
    "Precision": (metrics.Precision, BINARY),
    "Precision, top 2": (lambda: metrics.Precision(top_k=2), CLASSIFIED),
    "Recall": (metrics.Recall, BINARY),
    "PrecisionAtRecall": (lambda: metrics.PrecisionAtRecall(0.5), BINARY),
    "RecallAtPrecision": (lambda: metrics.RecallAtPrecision(0.5), BINARY),
    "SensitivityAtSpecificity": (lambda: metrics.SensitivityAtSpecificity(0.5), BINARY),
    "SpecificityAtSensitivity": (lambda: metrics.SpecificityAtSensitivity(0.5), BINARY),
    "Hinge": (metrics.Hinge, SIGNS),
    "SquaredHinge": (metrics.SquaredHinge, SIGNS),
    "CategoricalHinge": (metrics.CategoricalHinge, CLASSIFIED),
    "KLDivergence": (metrics.KLDivergence, CLASSIFIED),
    "Poisson": (metrics.Poisson, CLASSIFIED),
    "BinaryCrossentropy": (metrics.BinaryCrossentropy, BINARY),
    "CategoricalCrossentropy": (metrics.CategoricalCrossentropy, CLASSIFIED),
    "SparseCategoricalCrossentropy": (metrics.SparseCategoricalCrossentropy, LABELLED),
    "Accuracy": (metrics.Accuracy, IDS),
    "BinaryAccuracy": (metrics.BinaryAccuracy, BINARY),
    "CategoricalAccuracy": (metrics.CategoricalAccuracy, CLASSIFIED),
    "SparseCategoricalAccuracy": (metrics.SparseCategoricalAccuracy, LABELLED),
    "TopKCategoricalAccuracy": (lambda: metrics.TopKCategoricalAccuracy(2), CLASSIFIED),
    "SparseTopKCategoricalAccuracy": (lambda: metrics.SparseTopKCategoricalAccuracy(2), LABELLED),
    "F1Score": (metrics.F1Score, CLASSIFIED),
    "FBetaScore": (lambda: metrics.FBetaScore(average="macro", beta=2.0), CLASSIFIED),
    "IoU": (lambda: metrics.IoU(CLASSES, [0, 2]), IDS),
    "BinaryIoU": (metrics.BinaryIoU, BINARY),
    "MeanIoU": (lambda: metrics.MeanIoU(CLASSES), IDS),
    "OneHotIoU": (lambda: metrics.OneHotIoU(CLASSES, [1]), CLASSIFIED),
    "OneHotMeanIoU": (lambda: metrics.OneHotMeanIoU(CLASSES), CLASSIFIED),
    "keras-nlp Perplexity": (keras_nlp.metrics.Perplexity, TOKENS),
}


def main() -> None:
    """Evaluate, compare and publish."""
    arguments = tyro.cli(Arguments)
    strategy = launch.embedded_strategy(ps=2, workers=3)
    found = {}
    for data in {id(data): data for _, data in CASES.values()}.values():
        found.update(compare(strategy, data))
    rows = [[name, *found[name]] for name in CASES]
    table = report.Table(
        title=f"{EXAMPLES:,} examples over 3 workers, against plain Keras",
        columns=["metric", "plain Keras", "largest difference", "within 1e-5"],
        rows=rows,
        note="Within 1e-5 of the value where that is above 1. Of several the first is shown.",
    )
    report.publish([table], arguments.json)


def compare(strategy: tfps.ParameterServerStrategy, data: Data) -> dict[str, list[float | bool]]:
    """Return plain Keras's result, our difference and whether it is small, for each metric."""
    plain = evaluated(data)
    with strategy.scope():
        served = evaluated(data)
    found: dict[str, list[float | bool]] = {}
    for name, value in plain.items():
        apart = float(np.max(np.abs(served[name] - value)))
        good = apart <= MOST_APART * max(1.0, float(np.abs(value).max()))
        found[name] = [float(np.ravel(value)[0]), apart, good]
    return found


def evaluated(data: Data) -> dict[str, np.ndarray]:
    """Evaluate a model that passes its inputs on, by all metrics of `data`."""
    metrics_by_case = {name: make() for name, (make, of) in CASES.items() if of is data}
    inputs = keras.Input(data.predictions.shape[1:])
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss=_any_loss, weighted_metrics=list(metrics_by_case.values()))
    shape = data.predictions.shape[:-1]
    weights = 1.0 + np.arange(np.prod(shape)).reshape(shape) % 3
    logs = model.evaluate(
        data.predictions,
        data.targets,
        batch_size=BATCH,
        sample_weight=weights,
        verbose=0,
        return_dict=True,
    )
    return {case: np.asarray(logs[metric.name]) for case, metric in metrics_by_case.items()}


def _any_loss(targets: Any, predictions: Any) -> Any:
    """Return a loss for predictions and targets of any shapes."""
    del targets
    return keras.ops.mean(predictions, axis=-1)


if __name__ == "__main__":
    main()
