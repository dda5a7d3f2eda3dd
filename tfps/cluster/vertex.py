"""CLUSTER_SPEC: how Vertex AI tells a task its cluster, by pools of machines."""

from __future__ import annotations

import json

VARIABLE = "CLUSTER_SPEC"

_TASK_TYPES = {
    "workerpool0": "chief",
    "workerpool1": "worker",
    "workerpool2": "ps",
    "workerpool3": "evaluator",
}


def as_tf_config(text: str) -> str:
    """Write a CLUSTER_SPEC as a TF_CONFIG, which differs in the names of task types only.

    Returns:
        Nothing ("") for a job of one machine, for which Vertex AI sets CLUSTER_SPEC, too, but no
        TF_CONFIG; the text as it is where that has not the form of a CLUSTER_SPEC.
    """
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        if list(cluster) == ["workerpool0"]:
            return ""
        named = {_TASK_TYPES.get(pool, pool): given for pool, given in cluster.items()}
        task_type = _TASK_TYPES.get(task["type"], task["type"])
        return json.dumps({"cluster": named, "task": {**task, "type": task_type}})
    except (ValueError, TypeError, KeyError, AttributeError):
        return text
