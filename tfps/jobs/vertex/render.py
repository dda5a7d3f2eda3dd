"""A job as Vertex AI's API takes it: a CustomJob, or a HyperparameterTuningJob.

Vertex AI knows a task's type by its pool's place, and sets TF_CONFIG. The job ends when the task of
the first pool does, the chief, with its result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.cluster import CHECKPOINT_DIR, environment
from tfps.jobs.rendering import Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.vertex.labels import labels
from tfps.jobs.vertex.left_out import left_out, never_restarts
from tfps.jobs.vertex.message import Message, message
from tfps.jobs.vertex.placement import machine_faults, machine_spec
from tfps.jobs.vertex.study import study
from tfps.jobs.vertex.volumes import nfs_mounts, volume_faults

_MOST_VARIABLES = 100
_LEAST_DISK_GB, _MOST_DISK_GB = 100, 64_000

# Trials have all but arguments in common: without a folder of its own, each would resume the run of
# another. Vertex AI appends a trial's arguments to those of the program.
_IN_FOLDER_OF_TRIAL = (
    f'export {CHECKPOINT_DIR}="${{{CHECKPOINT_DIR}%/}}/${{CLOUD_ML_TRIAL_ID:?}}"; exec "$0" "$@"'
)


def render(spec: JobSpec) -> Rendering:
    """Render a job as the body of a request of Vertex AI's REST API.

    Raises:
        JobSpecError: Vertex AI cannot run it as the spec has it.
    """
    checks.check(_faults(spec))
    head = message(displayName=spec.name, labels=labels(spec))
    if spec.tuning is None:
        document = {**head, "jobSpec": _job_spec(spec)}
    else:
        document = {**head, **study(spec.tuning), "trialJobSpec": _job_spec(spec)}
    return Rendering(documents=(document,), left_out=tuple(left_out(spec)))


def _job_spec(spec: JobSpec) -> Message:
    vertex = spec.vertex
    return message(
        # Roles come in the order that Vertex AI gives pools: chief, workers, ps, evaluators.
        workerPoolSpecs=[_pool(spec, task_type, role) for task_type, role in spec.roles],
        scheduling=_scheduling(spec),
        serviceAccount=vertex.service_account,
        network=vertex.network,
        baseOutputDirectory=message(outputUriPrefix=vertex.base_output_dir),
        tensorboard=vertex.tensorboard,
        enableWebAccess=vertex.web_access,
    )


def _scheduling(spec: JobSpec) -> Message:
    # restartJobOnWorkerRestart stays false: a worker that comes back carries on, and when a ps was
    # lost the chief fails, is started again in its place, and goes on from its checkpoint.
    return message(
        timeout=None if spec.timeout_s is None else f"{spec.timeout_s}s",
        strategy="SPOT" if _is_spot(spec) else None,
        disableRetries=never_restarts(spec),
    )


def _pool(spec: JobSpec, task_type: str, role: Role) -> Message:
    disk_gib = role.disk_gib
    return message(
        machineSpec=machine_spec(role),
        replicaCount=role.replicas,
        diskSpec=message(bootDiskSizeGb=disk_gib and max(_LEAST_DISK_GB, math.ceil(disk_gib))),
        nfsMounts=nfs_mounts(spec, role),
        containerSpec=_container_spec(spec, task_type, role),
    )


def _container_spec(spec: JobSpec, task_type: str, role: Role) -> Message:
    program = spec.command_of(role)
    if spec.tuning is not None and spec.checkpoint_dir is not None:
        program = ("sh", "-c", _IN_FOLDER_OF_TRIAL, *program)
    variables = environment(spec, task_type, role)
    return message(
        imageUri=spec.image_of(role),
        command=list(program[:1]),  # In the place of the image's ENTRYPOINT.
        args=list(program[1:]),
        env=[message(name=name, value=variables[name]) for name in sorted(variables)],
    )


def _is_spot(spec: JobSpec) -> bool:
    return all(role.spot for _, role in spec.roles)


def _faults(spec: JobSpec) -> Iterator[Fault]:
    for task_type, role in spec.roles:
        yield from (
            fault.below("roles", task_type) for fault in _role_faults(spec, task_type, role)
        )
    yield from volume_faults(spec)


def _role_faults(spec: JobSpec, task_type: str, role: Role) -> Iterator[Fault]:
    if spec.image_of(role) is None:
        yield Fault(
            (),
            "neither the role nor the job has an image. Give one, with the path that Artifact "
            "Registry shows for it.",
        )
    yield from machine_faults(role)
    if role.disk_gib is not None and role.disk_gib > _MOST_DISK_GB:
        yield Fault(("disk_gib",), f"{role.disk_gib:g} is too much. Give at most {_MOST_DISK_GB}.")
    variables = environment(spec, task_type, role)
    if len(variables) > _MOST_VARIABLES:
        yield Fault(
            ("env",),
            f"a task would have {len(variables)} variables with those of the job and of tfps, but "
            f"Vertex AI takes at most {_MOST_VARIABLES}. Put some into a file of the image.",
        )
    if role.spot and not _is_spot(spec):
        yield Fault(
            ("spot",),
            "Vertex AI takes either all machines of a job as spot machines or none. Give spot: "
            "true to all roles (losing a machine starts the job again), or to none.",
        )
