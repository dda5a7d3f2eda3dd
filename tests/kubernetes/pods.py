"""The pods that Kubernetes's own controllers create for StatefulSets and Jobs: pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from tests.kubernetes.objects import Object, copy_of, name_of, owner_reference

JOB_TRACKING = "batch.kubernetes.io/job-tracking"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
POD_INDEX = "apps.kubernetes.io/pod-index"


def from_template(
    owner: Object,
    template: Object,
    name: str,
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Make a pod of `owner`'s from a template, with further labels and annotations."""
    given = template.get("metadata") or {}
    meta = {
        "name": name,
        "namespace": owner["metadata"].get("namespace", "default"),
        "labels": {**(given.get("labels") or {}), **labels},
        "annotations": {**(given.get("annotations") or {}), **(annotations or {})},
        "ownerReferences": [owner_reference(owner)],
    }
    spec = copy_of(template["spec"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def stateful_set_pods(stateful_set: Object) -> list[Object]:
    """Make all pods of a StatefulSet, by ordinal."""
    return [stateful_set_pod(stateful_set, ordinal) for ordinal in ordinals(stateful_set)]


def ordinals(stateful_set: Object) -> range:
    """Return the ordinals that the pods of a StatefulSet should have."""
    spec = stateful_set["spec"]
    start = (spec.get("ordinals") or {}).get("start", 0)
    return range(start, start + spec.get("replicas", 1))


def stateful_set_pod(stateful_set: Object, ordinal: int) -> Object:
    """Make one pod of a StatefulSet: its host name is its name, in the domain of the Service."""
    name = f"{name_of(stateful_set)}-{ordinal}"
    labels = {"statefulset.kubernetes.io/pod-name": name, POD_INDEX: str(ordinal)}
    template = stateful_set["spec"]["template"]
    pod = from_template(stateful_set, template, name, labels=labels)
    pod["spec"]["hostname"] = name
    if stateful_set["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = stateful_set["spec"]["serviceName"]
    return pod


def is_indexed(job: Object) -> bool:
    """Return whether the pods of a Job have an index."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def job_pods(job: Object) -> list[Object]:
    """Make the pods that a Job starts with."""
    if not is_indexed(job):
        return [job_pod(job, None) for _ in range(job["spec"].get("parallelism", 1))]
    wanted = job["spec"]["completions"]
    return [job_pod(job, index) for index in range(min(job["spec"].get("parallelism", 1), wanted))]


def job_pod(job: Object, index: int | None, *, suffix: str = "x0x0x", failures: int = 0) -> Object:
    """Make one pod of a Job; with an index, its host name is the Job's name and the index."""
    name, uid = name_of(job), job["metadata"].get("uid", "")
    labels = {
        "job-name": name,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "batch.kubernetes.io/controller-uid": uid,
    }
    annotations = {}
    if index is not None:
        labels[COMPLETION_INDEX] = annotations[COMPLETION_INDEX] = str(index)
    if "backoffLimitPerIndex" in job["spec"]:
        annotations[FAILURE_COUNT] = str(failures)
    base = name if index is None else f"{name}-{index}"
    pod = from_template(
        job, job["spec"]["template"], f"{base}-{suffix}", labels=labels, annotations=annotations
    )
    pod["metadata"]["finalizers"] = [JOB_TRACKING]
    if index is not None:
        pod["spec"]["hostname"] = base
        for container in pod["spec"]["containers"]:
            container.setdefault("env", []).append(_index_variable())
    return pod


def _index_variable() -> Object:
    field = {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}
    return {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": field}}
