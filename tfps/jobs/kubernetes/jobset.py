"""A job as a JobSet (jobset.x-k8s.io), the Kubernetes project for jobs of several roles."""

from __future__ import annotations

from collections.abc import Iterator

from tfps.cluster.spec import ClusterSpec, Task
from tfps.errors import Fault
from tfps.jobs.kubernetes.limits import check, left_out
from tfps.jobs.kubernetes.objects import Object, guards, job_of_indexed_tasks, metadata
from tfps.jobs.kubernetes.pods import INDEXED_JOB_INDEX, pod_template, tf_config_entries
from tfps.jobs.rendering import Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import cluster_spec

_NO_LIMIT = 2**31 - 1


def render(spec: JobSpec) -> Rendering:
    """Render a job as a JobSet, and the objects that guard its pods.

    Raises:
        JobSpecError: Kubernetes cannot run the job that the spec describes.
    """
    check(spec)
    cluster = cluster_spec(spec, lambda task: _address(spec, task))
    job_set = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata(spec, spec.name),
        "spec": {
            "network": {
                "enableDNSHostnames": True,
                "subdomain": spec.name,
                # Tasks connect to each other before they are ready.
                "publishNotReadyAddresses": True,
            },
            # The chief's result is the job's result, and its end ends the others.
            "successPolicy": {"operator": "All", "targetReplicatedJobs": ["chief"]},
            "failurePolicy": {"maxRestarts": 0},
            "ttlSecondsAfterFinished": spec.kubernetes.keep_s,
            "replicatedJobs": [
                _replicated_job(spec, task_type, role, cluster) for task_type, role in spec.roles
            ],
        },
    }
    return Rendering(
        documents=(*guards(spec), job_set), left_out=(*left_out(spec), *_own_left_out(spec))
    )


def _address(spec: JobSpec, task: Task) -> str:
    # The JobSet's controller gives this name to the pod with this index, of Job 0 of the role.
    return f"{spec.name}-{task.type}-0-{task.index}.{spec.name}:{spec.port}"


def _replicated_job(spec: JobSpec, task_type: str, role: Role, cluster: ClusterSpec) -> Object:
    template = pod_template(
        spec,
        task_type,
        role,
        restart_policy="Never",
        tf_config=tf_config_entries(cluster, task_type, INDEXED_JOB_INDEX),
    )
    job = job_of_indexed_tasks(role, template)
    if task_type == "evaluator":
        # A JobSet fails with any of its Jobs, but training must not fail with the evaluator.
        job["backoffLimitPerIndex"] = _NO_LIMIT
    if task_type == "chief" and spec.timeout_s is not None:
        job["activeDeadlineSeconds"] = spec.timeout_s
    return {"name": task_type, "replicas": 1, "template": {"spec": job}}


def _own_left_out(spec: JobSpec) -> Iterator[Fault]:
    if spec.roles.evaluator is not None:
        yield Fault(
            ("roles", "evaluator", "restarts"),
            "a JobSet fails with any of its Jobs, so the evaluator is started again without limit.",
        )
