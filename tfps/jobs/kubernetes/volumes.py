"""What the pod of a task mounts."""

from __future__ import annotations

from tfps.jobs.kubernetes.quantities import gibibytes
from tfps.jobs.kubernetes.shared import Object
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Volume


def volumes(spec: JobSpec, role: Role) -> list[Object]:
    """Return the volumes of a pod: those of the job's that the role mounts."""
    return [{"name": name, **_source(spec, volume)} for name, volume in _mounted(spec, role)]


def mounts(spec: JobSpec, role: Role) -> list[Object]:
    """Return where the container sees them."""
    return [_mount(mount) for mount in spec.mounts_of(role)]


def pod_annotations(spec: JobSpec, role: Role) -> dict[str, str]:
    """Return the annotations of a pod that its volumes need."""
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
        return {"emptyDir": {"sizeLimit": gibibytes(volume.empty_dir_gib)}}
    if volume.memory_gib is not None:
        return {"emptyDir": {"medium": "Memory", "sizeLimit": gibibytes(volume.memory_gib)}}
    sources: dict[str, Object] = {
        "claim": {"persistentVolumeClaim": {"claimName": volume.claim}},
        "host_path": {"hostPath": {"path": volume.host_path, "type": "Directory"}},
        "secret": {"secret": {"secretName": volume.secret}},
        "config_map": {"configMap": {"name": volume.config_map}},
    }
    return sources[volume.kind]
