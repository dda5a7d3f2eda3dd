"""TF_CONFIG, and Vertex AI's CLUSTER_SPEC: this process's task, and all addresses."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping

from tfps.cluster import tf_config_faults
from tfps.cluster.spec import ClusterSpec, Task
from tfps.errors import TFConfigError

VARIABLE = "TF_CONFIG"
VERTEX_VARIABLE = "CLUSTER_SPEC"

# Vertex AI names task types by the pools of machines that they run on.
_VERTEX_TASK_TYPES = {
    "workerpool0": "chief",
    "workerpool1": "worker",
    "workerpool2": "ps",
    "workerpool3": "evaluator",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TFConfig:
    """The content of TF_CONFIG.

    Attributes:
        cluster: The addresses of all tasks, evaluators included.
        task: The task that this process is.
    """

    cluster: ClusterSpec
    task: Task

    def __post_init__(self) -> None:
        """Check that the task is one of the cluster's."""
        if self.task.type == "evaluator" and not self.cluster.evaluator:
            return  # Evaluators are not part of the cluster; Vertex AI leaves them out of it.
        self.cluster.address(self.task)

    @classmethod
    def from_json(cls, text: str, *, variable: str = VARIABLE) -> TFConfig:
        """Return the TF_CONFIG that a text holds.

        Keys beyond `cluster`, `task.type` and `task.index` (Vertex AI writes `environment` and
        `task.trial`) are ignored. An index may be a number in quotes.

        Args:
            text: The JSON text.
            variable: The environment variable that holds it, for error messages.

        Raises:
            TFConfigError: The text has faults; the message lists all of them.
        """
        content, faults = tf_config_faults.read(text)
        if faults:
            raise TFConfigError(faults, variable)
        task = content["task"]
        return cls(
            cluster=ClusterSpec.from_dict(content["cluster"]),
            task=Task(type=task["type"], index=int(task["index"])),
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> TFConfig | None:
        """Return the TF_CONFIG of the environment or, without it, Vertex AI's CLUSTER_SPEC.

        Returns:
            None if both are absent, empty or `{}`, and for Vertex AI's jobs of one machine.

        Raises:
            TFConfigError: The variable has faults; the message lists all of them.
        """
        if text := _content(environ, VARIABLE):
            return cls.from_json(text)
        if text := cluster_spec_as_tf_config(_content(environ, VERTEX_VARIABLE)):
            return cls.from_json(text, variable=VERTEX_VARIABLE)
        return None

    def to_json(self) -> str:
        """Return the TF_CONFIG as one line of JSON."""
        return json.dumps(
            {"cluster": self.cluster.as_dict(), "task": dataclasses.asdict(self.task)}
        )


def cluster_spec_as_tf_config(text: str) -> str:
    """Convert a CLUSTER_SPEC of Vertex AI to a TF_CONFIG; only the names of task types differ.

    Returns:
        The TF_CONFIG; "" for a job of one machine, for which Vertex AI sets CLUSTER_SPEC but no
        TF_CONFIG; the text itself if it does not have the form of a CLUSTER_SPEC.
    """
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        if list(cluster) == ["workerpool0"]:
            return ""
        named = {_VERTEX_TASK_TYPES.get(pool, pool): given for pool, given in cluster.items()}
        task_type = _VERTEX_TASK_TYPES.get(task["type"], task["type"])
        return json.dumps({"cluster": named, "task": {**task, "type": task_type}})
    except (ValueError, TypeError, KeyError, AttributeError):
        return text


def _content(environ: Mapping[str, str], variable: str) -> str:
    text = environ.get(variable, "").strip()
    return "" if "".join(text.split()) == "{}" else text
