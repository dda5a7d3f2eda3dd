"""The pod of a task."""

from __future__ import annotations

from typing import Any

from tfps.jobs.cluster import environment
from tfps.jobs.kubernetes import volumes
from tfps.jobs.kubernetes.placement import GPU, placement
from tfps.jobs.kubernetes.quantities import cores, gibibytes
from tfps.jobs.kubernetes.shared import Object, labels, without_empty
from tfps.jobs.kubernetes.tf_config import literal
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

GRACE_S = 60
"""Seconds from SIGTERM to SIGKILL. A worker or ps of tfps ends at once, a program's own handler
of SIGTERM on the chief may save what it has."""

_CONTAINER = "tensorflow"  # The name by which a TFJob knows it.


def pod_template(
    spec: JobSpec,
    task_type: str,
    role: Role,
    *,
    restart_policy: str | None,
    tf_config: list[Object],
    port_name: str = "tfps",
    **more: Any,
) -> Object:
    """Return the template of a role's pods.

    Args:
        spec: The job.
        task_type: The role's.
        role: What a task needs.
        restart_policy: The pods'; None where the owner of the template decides.
        tf_config: The entries of the environment that make TF_CONFIG, from `tf_config_entries`;
            none where the platform sets it.
        port_name: What the port of TensorFlow's server is called.
        more: Further fields of the pod's spec, e.g. `subdomain`.
    """
    annotations = volumes.pod_annotations(spec, role)
    pod = {
        "restartPolicy": restart_policy,
        **more,
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": spec.kubernetes.service_account,
        "priorityClassName": spec.kubernetes.priority_class,
        "imagePullSecrets": pull_secrets(spec),
        "securityContext": pod_security(spec),
        **placement(spec, task_type, role),
        "containers": [_container(spec, task_type, role, tf_config, port_name)],
        "volumes": volumes.volumes(spec, role),
    }
    return {
        "metadata": {
            "labels": labels(spec, task_type),
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": without_empty(pod),
    }


def pod_security(spec: JobSpec) -> Object:
    """Return what Kubernetes's "restricted" standard asks of a pod."""
    user = spec.kubernetes.user_id
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pull_secrets(spec: JobSpec) -> list[Object]:
    """Return what gives a pod access to the image's registry."""
    return [{"name": name} for name in spec.kubernetes.image_pull_secrets]


def container_security() -> Object:
    """Return what Kubernetes's "restricted" standard asks of a container."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _container(
    spec: JobSpec, task_type: str, role: Role, tf_config: list[Object], port_name: str
) -> Object:
    variables = environment(spec, task_type, role)
    ports = {port_name: spec.port, **role.ports} if task_type != "evaluator" else role.ports
    # A pod that was ready stays so for a minute: a chief closes its port between finding all tasks
    # and starting its own server.
    probe = {"tcpSocket": {"port": spec.port}, "periodSeconds": 5, "failureThreshold": 12}
    return without_empty(
        {
            "name": _CONTAINER,
            "image": spec.image_of(role),
            "imagePullPolicy": spec.kubernetes.image_pull_policy,
            "command": [literal(part) for part in spec.command_of(role)],
            "env": [
                *tf_config,
                *({"name": name, "value": literal(variables[name])} for name in sorted(variables)),
            ],
            "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
            "readinessProbe": probe if task_type != "evaluator" else None,
            "resources": _resources(role),
            "securityContext": container_security(),
            "volumeMounts": volumes.mounts(spec, role),
        }
    )


def _resources(role: Role) -> Object:
    memory = gibibytes(role.memory_gib)
    gpus = {GPU: str(role.gpus)} if role.gpus else {}
    disk = {} if role.disk_gib is None else {"ephemeral-storage": gibibytes(role.disk_gib)}
    # Without a limit, cores that nobody else asks for are the task's, too.
    return {
        "requests": {"cpu": cores(role.cpu), "memory": memory, **disk, **gpus},
        "limits": {"memory": memory, **disk, **gpus},
    }
