"""A Keras callback that reports a metric to the hyperparameter search of which a job is a trial."""

from __future__ import annotations

import collections
import json
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

_FILE = "/tmp/hypertune/output.metrics"
_MOST_LINES = 100


class ReportMetric(keras.callbacks.Callback):
    """Report a metric to Vertex AI's hyperparameter search after each epoch.

    The callback does nothing outside Vertex AI, so it can always be among the callbacks. It writes
    the same file, in the same format, as Google's cloudml-hypertune, which is no longer maintained.
    """

    def __init__(self, metric: str) -> None:
        """Report the metric of this name in Keras's logs, for example "val_loss"."""
        super().__init__()
        self._metric = metric
        self._lines: collections.deque[str] = collections.deque(maxlen=_MOST_LINES)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report the metric of an epoch; warn if the logs have none of its name."""
        logs = logs or {}
        if self._metric not in logs:
            warnings.warn(
                f"ReportMetric: epoch {epoch + 1} has no {self._metric!r}, but has "
                f"{', '.join(logs)}. Name one of them, or give fit validation_data.",
                stacklevel=2,
            )
            return
        file = metric_file()
        if file is not None:
            self._lines.append(_line(self._metric, float(logs[self._metric]), step=epoch + 1))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{line}\n" for line in self._lines))


def metric_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file from which Vertex AI reads metrics; None outside Vertex AI."""
    # Every task of Vertex AI has variables of this prefix, with or without a search.
    is_on_vertex_ai = any(name.startswith("CLOUD_ML_") for name in environ)
    return Path(environ.get("CLOUD_ML_HP_METRIC_FILE") or _FILE) if is_on_vertex_ai else None


def _line(metric: str, value: float, *, step: int) -> str:
    content = {
        "timestamp": time.time(),
        "trial": os.environ.get("CLOUD_ML_TRIAL_ID", "0"),
        metric: str(value),
        "global_step": str(step),
    }
    return json.dumps(content, sort_keys=True)
