"""A job as plain Kubernetes objects, for a cluster that has nothing installed.

Workers and ps are StatefulSets, whose pods keep their names. The chief is a Job, whose result is
the result of the whole job. StatefulSets never end by themselves, so a small Job, NAME-ending,
waits for the end of the chief's Job and then scales them to zero. It runs the module `ending`, and
its service account has no other rights.
"""

from __future__ import annotations

from tfps.cluster.spec import ClusterSpec, Task
from tfps.jobs.kubernetes.limits import check, left_out
from tfps.jobs.kubernetes.objects import (
    Object,
    guards,
    job_of_one_task,
    labels,
    metadata,
    pod_labels,
    without_empty,
)
from tfps.jobs.kubernetes.pods import (
    STATEFUL_SET_INDEX,
    container_security,
    pod_security,
    pod_template,
    pull_secrets,
    tf_config_entries,
)
from tfps.jobs.rendering import Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import cluster_spec


def render(spec: JobSpec) -> Rendering:
    """Render a job as plain objects.

    Raises:
        JobSpecError: Kubernetes cannot run the job that the spec describes.
    """
    check(spec)
    cluster = cluster_spec(spec, lambda task: _address(spec, task))
    documents = [_service(spec), *guards(spec)]
    for task_type, role in spec.roles:
        make = _stateful_set if task_type in ("worker", "ps") else _job
        documents.append(make(spec, task_type, role, cluster))
    documents += _ending_objects(spec)
    return Rendering(documents=tuple(documents), left_out=tuple(left_out(spec)))


def _address(spec: JobSpec, task: Task) -> str:
    # A name within the namespace, which the resolver of the pods searches.
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
            # Tasks connect to each other before they are ready.
            "publishNotReadyAddresses": True,
            "selector": pod_labels(spec),
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
            "selector": {"matchLabels": pod_labels(spec, task_type)},
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
        "spec": job_of_one_task(role, template, **deadline, **keep),
    }


def _ending_objects(spec: JobSpec) -> list[Object]:
    """Return the Job NAME-ending, its service account, and the account's rights."""
    name = f"{spec.name}-ending"
    meta = metadata(spec, name, "ending")
    account = {"kind": "ServiceAccount", "name": name}
    if spec.kubernetes.namespace:
        account["namespace"] = spec.kubernetes.namespace
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": _rules(spec),
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [account],
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": meta,
            "spec": {
                "backoffLimit": 6,
                "ttlSecondsAfterFinished": spec.kubernetes.keep_s,
                "template": _ending_template(spec, name),
            },
        },
    ]


def _rules(spec: JobSpec) -> list[Object]:
    rules = [
        _rule("batch", "jobs", "get", f"{spec.name}-chief"),
        _rule("apps", "statefulsets/scale", "patch", f"{spec.name}-ps", f"{spec.name}-worker"),
    ]
    if spec.roles.evaluator is not None:
        rules.append(_rule("batch", "jobs", "delete", f"{spec.name}-evaluator"))
    return rules


def _rule(group: str, resource: str, verb: str, *names: str) -> Object:
    return {
        "apiGroups": [group],
        "resources": [resource],
        "resourceNames": list(names),
        "verbs": [verb],
    }


def _ending_template(spec: JobSpec, account: str) -> Object:
    container = {
        "name": "ending",
        "image": spec.image_of(spec.roles.chief),
        "imagePullPolicy": spec.kubernetes.image_pull_policy,
        "command": ["python", "-m", "tfps.jobs.kubernetes.ending", spec.name],
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "128Mi"},
        },
        "securityContext": container_security(),
    }
    pod = {
        "restartPolicy": "OnFailure",
        "serviceAccountName": account,
        "enableServiceLinks": False,
        "imagePullSecrets": pull_secrets(spec),
        "securityContext": pod_security(spec),
        "containers": [without_empty(container)],
    }
    return {"metadata": {"labels": labels(spec, "ending")}, "spec": without_empty(pod)}
