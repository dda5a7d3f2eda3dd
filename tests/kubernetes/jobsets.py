"""What JobSet's controller makes of a JobSet: Jobs and a headless Service. Pure functions.

They do what kubernetes-sigs/jobset does (August 2026), in `pkg/controllers/jobset_controller.go`.
"""

from __future__ import annotations

import hashlib

from tests.kubernetes.objects import Object, copy_of, name_of, owner_reference

JOB_SET_NAME = "jobset.sigs.k8s.io/jobset-name"
REPLICATED_JOB = "jobset.sigs.k8s.io/replicatedjob-name"
RESTARTS = "jobset.sigs.k8s.io/restart-attempt"


def with_defaults(job_set: Object) -> Object:
    """Return a JobSet as the project's webhook completes it."""
    job_set = copy_of(job_set)
    spec = job_set["spec"]
    spec.setdefault("successPolicy", {"operator": "All"})
    spec.setdefault("startupPolicy", {"startupPolicyOrder": "AnyOrder"})
    network = spec.setdefault("network", {})
    network.setdefault("enableDNSHostnames", True)
    network.setdefault("publishNotReadyAddresses", True)
    for replicated in spec["replicatedJobs"]:
        replicated.setdefault("replicas", 1)
        replicated.setdefault("groupName", "default")
        job = replicated["template"]["spec"]
        job.setdefault("completionMode", "Indexed")
        job["template"]["spec"].setdefault("restartPolicy", "OnFailure")
    return job_set


def service_of(job_set: Object) -> Object | None:
    """Make the headless Service of a JobSet, if it is to have one."""
    network = job_set["spec"]["network"]
    if not network["enableDNSHostnames"]:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": subdomain(job_set),
            "namespace": job_set["metadata"].get("namespace", "default"),
            "ownerReferences": [owner_reference(job_set)],
        },
        "spec": {
            "clusterIP": "None",
            "selector": {JOB_SET_NAME: name_of(job_set)},
            "publishNotReadyAddresses": network["publishNotReadyAddresses"],
        },
    }


def subdomain(job_set: Object) -> str:
    """Return the domain of a JobSet's pods."""
    return str(job_set["spec"]["network"].get("subdomain") or name_of(job_set))


def jobs_of(job_set: Object) -> list[Object]:
    """Make the Jobs of a JobSet."""
    return [
        _job(job_set, replicated, index)
        for replicated in job_set["spec"]["replicatedJobs"]
        for index in range(replicated["replicas"])
    ]


def _job(job_set: Object, replicated: Object, index: int) -> Object:
    name = f"{name_of(job_set)}-{replicated['name']}-{index}"
    template = copy_of(replicated["template"])
    marks = _marks(job_set, replicated, index, name)
    meta = template.get("metadata") or {}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": job_set["metadata"].get("namespace", "default"),
            "labels": {**(meta.get("labels") or {}), **marks},
            "annotations": {**(meta.get("annotations") or {}), **marks},
            "ownerReferences": [owner_reference(job_set)],
        },
        "spec": {**template["spec"], "suspend": bool(job_set["spec"].get("suspend"))},
    }
    pod = job["spec"]["template"]
    pod_meta = pod.setdefault("metadata", {})
    for kind in ("labels", "annotations"):
        pod_meta[kind] = {**(pod_meta.get(kind) or {}), **marks}
    if job_set["spec"]["network"]["enableDNSHostnames"]:
        pod["spec"]["subdomain"] = subdomain(job_set)
    return job


def _marks(job_set: Object, replicated: Object, index: int, job: str) -> dict[str, str]:
    namespace = job_set["metadata"].get("namespace", "default")
    everything = sum(item["replicas"] for item in job_set["spec"]["replicatedJobs"])
    return {
        JOB_SET_NAME: name_of(job_set),
        "jobset.sigs.k8s.io/jobset-uid": job_set["metadata"].get("uid", ""),
        REPLICATED_JOB: replicated["name"],
        RESTARTS: str(job_set.get("status", {}).get("restarts", 0)),
        "jobset.sigs.k8s.io/replicatedjob-replicas": str(replicated["replicas"]),
        "jobset.sigs.k8s.io/global-replicas": str(everything),
        "jobset.sigs.k8s.io/job-index": str(index),
        "jobset.sigs.k8s.io/job-key": hashlib.sha1(f"{namespace}/{job}".encode()).hexdigest(),
        "jobset.sigs.k8s.io/group-name": replicated["groupName"],
    }
