"""What Kubeflow's Training Operator makes of a TFJob: pods and Services. Pure functions.

They do what version 1.9 does in `pkg/controller.v1/{tensorflow,common}`. The cluster in TF_CONFIG
has the evaluators, which older versions left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.kubernetes.objects import Object, copy_of, name_of, owner_reference
from tests.kubernetes.pods import from_template

CONTAINER = "tensorflow"
REPLICA_TYPES = ("Chief", "Evaluator", "Master", "PS", "Worker")
REPLICA_TYPE = "training.kubeflow.org/replica-type"
REPLICA_INDEX = "training.kubeflow.org/replica-index"

_PORT_NAME = "tfjob-port"
_PORT = 2222


def with_defaults(tf_job: Object) -> Object:
    """Return a TFJob as the operator completes it."""
    tf_job = copy_of(tf_job)
    spec = tf_job["spec"]
    spec.setdefault("runPolicy", {}).setdefault("cleanPodPolicy", "None")
    spec.setdefault("successPolicy", "")
    for replicas in spec["tfReplicaSpecs"].values():
        replicas.setdefault("replicas", 1)
        replicas.setdefault("restartPolicy", "Never")
        container = _container(replicas)
        ports = container.setdefault("ports", [])
        if _PORT_NAME not in [port.get("name") for port in ports]:
            ports.append({"name": _PORT_NAME, "containerPort": _PORT})
    return tf_job


def replicas_of(tf_job: Object) -> Iterator[tuple[str, int]]:
    """Iterate over the types and indices of a TFJob's replicas."""
    for kind, replicas in tf_job["spec"]["tfReplicaSpecs"].items():
        for index in range(replicas["replicas"]):
            yield kind, index


def pod_of(tf_job: Object, kind: str, index: int) -> Object:
    """Make the pod of one replica."""
    replicas = tf_job["spec"]["tfReplicaSpecs"][kind]
    labels = _labels(tf_job, kind, index)
    if _is_master(tf_job, kind, index):
        labels["training.kubeflow.org/job-role"] = "master"
    pod = from_template(tf_job, replicas["template"], _name(tf_job, kind, index), labels=labels)
    policy = replicas["restartPolicy"]
    pod["spec"]["restartPolicy"] = "Never" if policy == "ExitCode" else policy
    if sum(1 for _ in replicas_of(tf_job)) != 1:
        container = next(item for item in pod["spec"]["containers"] if item["name"] == CONTAINER)
        value = _tf_config(tf_job, kind, index)
        container.setdefault("env", []).append({"name": "TF_CONFIG", "value": value})
    return pod


def service_of(tf_job: Object, kind: str, index: int) -> Object:
    """Make the Service of one replica, which has the name of its pod."""
    labels = _labels(tf_job, kind, index)
    ports = _container(tf_job["spec"]["tfReplicaSpecs"][kind])["ports"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": _name(tf_job, kind, index),
            "namespace": tf_job["metadata"].get("namespace", "default"),
            "labels": labels,
            "ownerReferences": [owner_reference(tf_job)],
        },
        "spec": {
            "clusterIP": "None",
            "selector": labels,
            "ports": [{"name": item["name"], "port": item["containerPort"]} for item in ports],
        },
    }


def has_chief(tf_job: Object) -> bool:
    """Return whether the job's result is its chief's."""
    return bool({"Chief", "Master"} & set(tf_job["spec"]["tfReplicaSpecs"]))


def _is_master(tf_job: Object, kind: str, index: int) -> bool:
    if has_chief(tf_job):
        return kind in ("Chief", "Master")
    return kind == "Worker" and index == 0


def _name(tf_job: Object, kind: str, index: int) -> str:
    return f"{name_of(tf_job)}-{kind.lower()}-{index}"


def _labels(tf_job: Object, kind: str, index: int) -> dict[str, str]:
    return {
        "training.kubeflow.org/operator-name": "tfjob-controller",
        "training.kubeflow.org/job-name": name_of(tf_job),
        REPLICA_TYPE: kind.lower(),
        REPLICA_INDEX: str(index),
    }


def _tf_config(tf_job: Object, kind: str, index: int) -> str:
    namespace = tf_job["metadata"].get("namespace", "default")
    cluster = {
        item.lower(): [
            f"{_name(tf_job, item, number)}.{namespace}.svc:{_port(replicas)}"
            for number in range(replicas["replicas"])
        ]
        for item, replicas in sorted(tf_job["spec"]["tfReplicaSpecs"].items())
    }
    task = {"type": kind.lower(), "index": index}
    content = {"cluster": cluster, "task": task, "environment": "cloud"}
    return json.dumps(content, separators=(",", ":"))


def _port(replicas: Object) -> int:
    ports = _container(replicas)["ports"]
    return int(next(item["containerPort"] for item in ports if item.get("name") == _PORT_NAME))


def _container(replicas: Object) -> Object:
    containers = replicas["template"]["spec"]["containers"]
    result: Object = next(item for item in containers if item["name"] == CONTAINER)
    return result
