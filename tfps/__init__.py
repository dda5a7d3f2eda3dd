"""Train Keras 3 models on TensorFlow parameter servers.

Importing this package does not import TensorFlow; the first use of a name below does. It sets
TF_CPP_MIN_LOG_LEVEL to 1, which silences TensorFlow's INFO messages, unless it is set already.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfps.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from tfps import update, wire
    from tfps.cluster.run import run
    from tfps.cluster.spec import ClusterSpec, Task
    from tfps.cluster.tf_config import TFConfig
    from tfps.evaluator.sidecar import SidecarEvaluator
    from tfps.params.placement import AutoPartitioner
    from tfps.strategy import ParameterServerStrategy
    from tfps.training.data import Data
    from tfps.training.report_metric import ReportMetric

__all__ = [
    "AutoPartitioner",
    "ClusterSpec",
    "Data",
    "ParameterServerStrategy",
    "ReportMetric",
    "SidecarEvaluator",
    "TFConfig",
    "Task",
    "run",
    "update",
    "wire",
]

_HOMES = {
    "AutoPartitioner": "tfps.params.placement",
    "ClusterSpec": "tfps.cluster.spec",
    "Data": "tfps.training.data",
    "ParameterServerStrategy": "tfps.strategy",
    "ReportMetric": "tfps.training.report_metric",
    "SidecarEvaluator": "tfps.evaluator.sidecar",
    "TFConfig": "tfps.cluster.tf_config",
    "Task": "tfps.cluster.spec",
    "run": "tfps.cluster.run",
}


def __getattr__(name: str) -> Any:
    if name in ("update", "wire"):
        return importlib.import_module(f"tfps.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tfps' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


quiet_tensorflow()
