"""A job as plain Kubernetes objects, for a cluster that has nothing installed.

Workers and ps are StatefulSets, whose pods keep their names; the chief is a Job, whose result is
the job's. StatefulSets would run for ever, so a small Job, NAME-ending, waits for the chief's and
then scales them to zero; it may do that and nothing else.
"""

from __future__ import annotations

from tfps.cluster.spec import ClusterSpec, Task
from tfps.jobs.cluster import cluster_spec
from tfps.jobs.kubernetes import jobs
from tfps.jobs.kubernetes.ending_objects import ending_objects
from tfps.jobs.kubernetes.pods import pod_template
from tfps.jobs.kubernetes.shared import (
    Object,
    check,
    guards,
    left_out,
    metadata,
    selector,
)
from tfps.jobs.kubernetes.tf_config import STATEFUL_SET_INDEX, tf_config_entries
from tfps.jobs.rendering import Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec


def render(spec: JobSpec) -> Rendering:
    """Render a job as plain objects.

    Raises:
        JobSpecError: Kubernetes cannot run it as the spec has it.
    """
    check(spec)
    cluster = cluster_spec(spec, lambda task: _address(spec, task))
    documents = [_service(spec), *guards(spec)]
    for task_type, role in spec.roles:
        make = _stateful_set if task_type in ("worker", "ps") else _job
        documents.append(make(spec, task_type, role, cluster))
    documents += ending_objects(spec)
    return Rendering(documents=tuple(documents), left_out=left_out(spec))


def _address(spec: JobSpec, task: Task) -> str:
    # Names within the namespace: the pods' resolver searches it.
    pod = f"{spec.name}-{task.type}"
    if task.type in ("worker", "ps"):
        pod += f"-{task.index}"
    return f"{pod}.{spec.name}:{spec.port}"


def _service(spec: JobSpec) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(spec, spec.name),
        "spec": {
            "clusterIP": "None",
            # Tasks look for each other before they are ready.
            "publishNotReadyAddresses": True,
            "selector": selector(spec),
            "ports": [{"name": "tfps", "port": spec.port}],
        },
    }


def _stateful_set(spec: JobSpec, task_type: str, role: Role, cluster: ClusterSpec) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(spec, f"{spec.name}-{task_type}", task_type),
        "spec": {
            "replicas": role.replicas,
            "serviceName": spec.name,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": selector(spec, task_type)},
            "template": pod_template(
                spec,
                task_type,
                role,
                restart_policy="Always",
                tf_config=tf_config_entries(cluster, task_type, STATEFUL_SET_INDEX),
            ),
        },
    }


def _job(spec: JobSpec, task_type: str, role: Role, cluster: ClusterSpec) -> Object:
    name = f"{spec.name}-{task_type}"
    template = pod_template(
        spec,
        task_type,
        role,
        restart_policy="Never",
        tf_config=tf_config_entries(cluster, task_type, None),
        hostname=name,
        subdomain=spec.name,
    )
    deadline = {} if spec.timeout_s is None else {"activeDeadlineSeconds": spec.timeout_s}
    keep = {"ttlSecondsAfterFinished": spec.kubernetes.keep_s}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(spec, name, task_type),
        "spec": jobs.one_task(role, template, **deadline, **keep),
    }
