"""Small objects for the tests of the simulated cluster."""

from __future__ import annotations

from tests.kubernetes.objects import Object

WAIT = 'trap "exit 143" TERM; while true; do sleep 0.02; done'


def template(script: str, *, restart_policy: str | None = None, **labels: str) -> Object:
    """Return the template of a pod that runs a shell script."""
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}
    spec: Object = {"containers": [container]}
    if restart_policy is not None:
        spec["restartPolicy"] = restart_policy
    return {"metadata": {"labels": labels or {"app": "test"}}, "spec": spec}


def stateful_set(script: str = WAIT, *, name: str = "set", **spec: object) -> Object:
    """Return a StatefulSet of two pods, and their domain."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "test"}},
            "template": template(script),
            **spec,
        },
    }


def service(name: str = "set", **spec: object) -> Object:
    """Return a headless Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": "None", "selector": {"app": "test"}, **spec},
    }


def job(script: str, *, name: str = "job", restart_policy: str = "Never", **spec: object) -> Object:
    """Return a Job."""
    created = template(script, restart_policy=restart_policy)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": created, **spec},
    }


def job_set(chief: str, worker: str = WAIT, **spec: object) -> Object:
    """Return a JobSet of a chief, whose end is the whole's, and two workers."""

    def replicated(name: str, script: str, number: int) -> Object:
        created = {
            "completionMode": "Indexed",
            "completions": number,
            "parallelism": number,
            "backoffLimit": 0,
            "template": template(script, restart_policy="Never"),
        }
        return {"name": name, "replicas": 1, "template": {"spec": created}}

    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "js"},
        "spec": {
            "successPolicy": {"operator": "All", "targetReplicatedJobs": ["chief"]},
            "replicatedJobs": [replicated("chief", chief, 1), replicated("worker", worker, 2)],
            **spec,
        },
    }


def tf_job(chief: str, worker: str = WAIT, **run_policy: object) -> Object:
    """Return a TFJob of a chief, two workers and a ps."""

    def replicas(script: str, number: int, policy: str) -> Object:
        created = template(script)
        created["spec"]["containers"][0]["name"] = "tensorflow"
        return {"replicas": number, "restartPolicy": policy, "template": created}

    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": "tj"},
        "spec": {
            "runPolicy": {"cleanPodPolicy": "Running", **run_policy},
            "tfReplicaSpecs": {
                "Chief": replicas(chief, 1, "OnFailure"),
                "Worker": replicas(worker, 2, "ExitCode"),
                "PS": replicas(WAIT, 1, "ExitCode"),
            },
        },
    }
