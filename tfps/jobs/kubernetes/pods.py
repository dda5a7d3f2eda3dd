"""The pod of a task: its container, environment, resources and volumes."""

from __future__ import annotations

import json
import re
from typing import Any

from tfps.cluster.spec import ClusterSpec
from tfps.cluster.tf_config import VARIABLE
from tfps.jobs.kubernetes.nodes import GPU, placement
from tfps.jobs.kubernetes.objects import Object, labels, without_empty
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Volume
from tfps.jobs.tasks import environment

GRACE_S = 60
"""Seconds from SIGTERM to SIGKILL. A worker or ps of tfps ends at once, but the chief's program may
handle SIGTERM and save its work."""

CONTAINER = "tensorflow"
"""The name of a task's container, as a TFJob requires it."""

STATEFUL_SET_INDEX = "metadata.labels['apps.kubernetes.io/pod-index']"
INDEXED_JOB_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

_INDEX = "TFPS_TASK_INDEX"


def pod_template(
    spec: JobSpec,
    task_type: str,
    role: Role,
    *,
    restart_policy: str | None,
    tf_config: list[Object],
    port_name: str = "tfps",
    **fields: Any,
) -> Object:
    """Return the template of a role's pods.

    Args:
        spec: The job.
        task_type: The role's task type.
        role: The role.
        restart_policy: The pods' restart policy; None if the template's owner sets it.
        tf_config: The entries of the environment from `tf_config_entries`; none if the platform
            sets TF_CONFIG.
        port_name: The name of the port of TensorFlow's server.
        fields: Further fields of the pod's spec, e.g. `subdomain`.
    """
    annotations = _annotations(spec, role)
    pod = {
        "restartPolicy": restart_policy,
        **fields,
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": spec.kubernetes.service_account,
        "priorityClassName": spec.kubernetes.priority_class,
        "imagePullSecrets": pull_secrets(spec),
        "securityContext": pod_security(spec),
        **placement(spec, task_type, role),
        "containers": [_container(spec, task_type, role, tf_config, port_name)],
        "volumes": _volumes(spec, role),
    }
    return {
        "metadata": {
            "labels": labels(spec, task_type),
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": without_empty(pod),
    }


def pod_security(spec: JobSpec) -> Object:
    """Return a pod's security context by Kubernetes's "restricted" standard."""
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
    """Return the references to the Secrets that give access to the image's registry."""
    return [{"name": name} for name in spec.kubernetes.image_pull_secrets]


def container_security() -> Object:
    """Return a container's security context by Kubernetes's "restricted" standard."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def tf_config_entries(
    cluster: ClusterSpec, task_type: str, index_field: str | None
) -> list[Object]:
    """Return the entries of a pod's environment that define TF_CONFIG, for all pods of a role.

    Kubernetes replaces `$(TFPS_TASK_INDEX)` by the pod's index, so neither a shell nor a program
    of tfps is needed for it.

    Args:
        cluster: The addresses of all tasks.
        task_type: The role's task type.
        index_field: The field of a pod that contains its index; None for a role of one pod.
    """
    index = "0" if index_field is None else f"$({_INDEX})"
    task = f'{{"type": "{task_type}", "index": {index}}}'
    value = f'{{"cluster": {json.dumps(cluster.as_dict())}, "task": {task}}}'
    entry: Object = {"name": VARIABLE, "value": value}
    if index_field is None:
        return [entry]
    return [{"name": _INDEX, "valueFrom": {"fieldRef": {"fieldPath": index_field}}}, entry]


def literal(text: str) -> str:
    """Return text escaped against Kubernetes's expansion of `$(NAME)` and `$$`."""
    return re.sub(r"\$(?=[($])", "$$", text)


def _container(
    spec: JobSpec, task_type: str, role: Role, tf_config: list[Object], port_name: str
) -> Object:
    variables = environment(spec, task_type, role)
    ports = {port_name: spec.port, **role.ports} if task_type != "evaluator" else role.ports
    # A pod stays ready for a minute after its port has closed, because the chief closes its port
    # after it has found all tasks and before it starts its server.
    probe = {"tcpSocket": {"port": spec.port}, "periodSeconds": 5, "failureThreshold": 12}
    return without_empty(
        {
            "name": CONTAINER,
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
            "volumeMounts": _volume_mounts(spec, role),
        }
    )


def _resources(role: Role) -> Object:
    memory = _gibibytes(role.memory_gib)
    gpus = {GPU: str(role.gpus)} if role.gpus else {}
    disk = {} if role.disk_gib is None else {"ephemeral-storage": _gibibytes(role.disk_gib)}
    # Without a limit on cores, a task may also use those that no other pod has requested.
    return {
        "requests": {"cpu": _cores(role.cpu), "memory": memory, **disk, **gpus},
        "limits": {"memory": memory, **disk, **gpus},
    }


def _cores(cpu: float) -> str:
    """Return a number of cores as a quantity, e.g. `4` for 4.0 and `500m` for 0.5."""
    return str(int(cpu)) if cpu == int(cpu) else f"{round(cpu * 1000)}m"


def _gibibytes(amount: float) -> str:
    """Return GiB as a quantity, e.g. `16Gi` for 16.0 and `1536Mi` for 1.5."""
    return f"{int(amount)}Gi" if amount == int(amount) else f"{round(amount * 1024)}Mi"


def _volumes(spec: JobSpec, role: Role) -> list[Object]:
    return [{"name": name, **_source(spec, volume)} for name, volume in _mounted(spec, role)]


def _volume_mounts(spec: JobSpec, role: Role) -> list[Object]:
    return [_mount(mount) for mount in spec.mounts_of(role)]


def _annotations(spec: JobSpec, role: Role) -> dict[str, str]:
    if any(volume.gcs_bucket for _, volume in _mounted(spec, role)):
        return {"gke-gcsfuse/volumes": "true"}
    return {}


def _mounted(spec: JobSpec, role: Role) -> list[tuple[str, Volume]]:
    names = dict.fromkeys(mount.volume for mount in spec.mounts_of(role))
    return [(name, spec.volumes[name]) for name in names]


def _mount(mount: Mount) -> Object:
    read_only = {"readOnly": True} if mount.read_only else {}
    return {"name": mount.volume, "mountPath": mount.path, **read_only}


def _source(spec: JobSpec, volume: Volume) -> Object:
    if volume.nfs is not None:
        return {"nfs": {"server": volume.nfs.server, "path": volume.nfs.path}}
    if volume.gcs_bucket is not None:
        user = spec.kubernetes.user_id
        options = f"implicit-dirs,uid={user},gid={user}"
        attributes = {"bucketName": volume.gcs_bucket, "mountOptions": options}
        return {"csi": {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": attributes}}
    if volume.empty_dir_gib is not None:
        return {"emptyDir": {"sizeLimit": _gibibytes(volume.empty_dir_gib)}}
    if volume.memory_gib is not None:
        return {"emptyDir": {"medium": "Memory", "sizeLimit": _gibibytes(volume.memory_gib)}}
    sources: dict[str, Object] = {
        "claim": {"persistentVolumeClaim": {"claimName": volume.claim}},
        "host_path": {"hostPath": {"path": volume.host_path, "type": "Directory"}},
        "secret": {"secret": {"secretName": volume.secret}},
        "config_map": {"configMap": {"name": volume.config_map}},
    }
    return sources[volume.kind]
