"""TF_CONFIG in the environment of a pod, and text that Kubernetes is to leave as it is."""

from __future__ import annotations

import json
import re

from tfps.cluster.spec import ClusterSpec
from tfps.cluster.tf_config import VARIABLE
from tfps.jobs.kubernetes.shared import Object

STATEFUL_SET_INDEX = "metadata.labels['apps.kubernetes.io/pod-index']"
INDEXED_JOB_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

_INDEX = "TFPS_TASK_INDEX"


def tf_config_entries(
    cluster: ClusterSpec, task_type: str, index_field: str | None
) -> list[Object]:
    """Return what makes TF_CONFIG in the environment of each pod of a role.

    Kubernetes puts the pod's index in the place of `$(TFPS_TASK_INDEX)`, so that neither a shell
    nor a program of tfps has a part in it.

    Args:
        cluster: The addresses of all tasks.
        task_type: The role's.
        index_field: The field of a pod that holds its index; None for a role of one pod.
    """
    index = "0" if index_field is None else f"$({_INDEX})"
    task = f'{{"type": "{task_type}", "index": {index}}}'
    value = f'{{"cluster": {json.dumps(cluster.as_dict())}, "task": {task}}}'
    entry: Object = {"name": VARIABLE, "value": value}
    if index_field is None:
        return [entry]
    return [{"name": _INDEX, "valueFrom": {"fieldRef": {"fieldPath": index_field}}}, entry]


def literal(text: str) -> str:
    """Write text so that Kubernetes, which expands `$(NAME)` and `$$`, leaves it as it is."""
    return re.sub(r"\$(?=[($])", "$$", text)
