"""TF_CONFIG: which task this process is, and where the others are."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping

from tfps.cluster import tf_config_faults, vertex
from tfps.cluster.spec import ClusterSpec, Task
from tfps.errors import TFConfigError

VARIABLE = "TF_CONFIG"


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
            return  # Evaluators are no part of the cluster; Vertex AI leaves them out of it.
        self.cluster.address(self.task)

    @classmethod
    def from_json(cls, text: str, *, variable: str = VARIABLE) -> TFConfig:
        """Read a TF_CONFIG.

        Keys beyond `cluster`, `task.type` and `task.index` (Vertex AI writes `environment` and
        `task.trial`) are ignored. An index may be a number in quotes.

        Args:
            text: What to read.
            variable: Where it is from, for the errors.

        Raises:
            TFConfigError: The text has faults; all of them are listed.
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
        """Read TF_CONFIG from the environment or, without it, Vertex AI's CLUSTER_SPEC.

        Returns:
            None when both are absent, empty or `{}`, and for Vertex AI's jobs of one machine.

        Raises:
            TFConfigError: The one that was read has faults; all of them are listed.
        """
        if text := _content(environ, VARIABLE):
            return cls.from_json(text)
        if text := vertex.as_tf_config(_content(environ, vertex.VARIABLE)):
            return cls.from_json(text, variable=vertex.VARIABLE)
        return None

    def to_json(self) -> str:
        """Write the TF_CONFIG as one line of JSON."""
        return json.dumps(
            {"cluster": self.cluster.as_dict(), "task": dataclasses.asdict(self.task)}
        )


def _content(environ: Mapping[str, str], variable: str) -> str:
    text = environ.get(variable, "").strip()
    return "" if "".join(text.split()) == "{}" else text
