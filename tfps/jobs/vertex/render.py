"""A job as Vertex AI's API takes it: a CustomJob, or a HyperparameterTuningJob.

Vertex AI derives a task's type from the place of its pool, and sets TF_CONFIG. The job ends with
the task of the first pool, the chief, and has its result.
"""

from __future__ import annotations

import math
from typing import Any

from tfps.jobs.platforms import Hyperparameter, Tuning
from tfps.jobs.rendering import Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import CHECKPOINT_DIR, environment
from tfps.jobs.vertex.limits import check, is_spot, labels, last_part, left_out, never_restarts
from tfps.jobs.vertex.machines import machine_spec

Message = dict[str, Any]
"""A message of Vertex AI's API, in protobuf's JSON form."""

_LEAST_DISK_GB = 100

# All trials have the same checkpoint_dir, so each gets a folder of its own in it. Otherwise it
# would resume the run of another trial. Vertex AI appends a trial's arguments to the program's.
_IN_FOLDER_OF_TRIAL = (
    f'export {CHECKPOINT_DIR}="${{{CHECKPOINT_DIR}%/}}/${{CLOUD_ML_TRIAL_ID:?}}"; exec "$0" "$@"'
)

_SCALES = {
    "linear": "UNIT_LINEAR_SCALE",
    "log": "UNIT_LOG_SCALE",
    "reverse_log": "UNIT_REVERSE_LOG_SCALE",
}
_ALGORITHMS = {"random": "RANDOM_SEARCH", "grid": "GRID_SEARCH"}  # Bayesian is the default.


def render(spec: JobSpec) -> Rendering:
    """Render a job as the body of a request of Vertex AI's REST API.

    Raises:
        JobSpecError: Vertex AI cannot run the job that the spec describes.
    """
    check(spec)
    head = _message(displayName=spec.name, labels=labels(spec))
    if spec.tuning is None:
        document = {**head, "jobSpec": _job_spec(spec)}
    else:
        document = {**head, **_search(spec.tuning), "trialJobSpec": _job_spec(spec)}
    return Rendering(documents=(document,), left_out=tuple(left_out(spec)))


def _message(**fields: Any) -> Message:
    """Return a message with the given fields, except those that are None or have default values."""
    return {name: value for name, value in fields.items() if value}


def _job_spec(spec: JobSpec) -> Message:
    vertex = spec.vertex
    return _message(
        # The order of the roles is the order of Vertex AI's pools: chief, workers, ps, evaluators.
        workerPoolSpecs=[_pool(spec, task_type, role) for task_type, role in spec.roles],
        scheduling=_scheduling(spec),
        serviceAccount=vertex.service_account,
        network=vertex.network,
        baseOutputDirectory=_message(outputUriPrefix=vertex.base_output_dir),
        tensorboard=vertex.tensorboard,
        enableWebAccess=vertex.web_access,
    )


def _scheduling(spec: JobSpec) -> Message:
    # restartJobOnWorkerRestart stays false. A restarted worker rejoins the job. If a ps is lost,
    # the chief fails, and Vertex AI restarts it; it then resumes from its checkpoint.
    return _message(
        timeout=None if spec.timeout_s is None else f"{spec.timeout_s}s",
        strategy="SPOT" if is_spot(spec) else None,
        disableRetries=never_restarts(spec),
    )


def _pool(spec: JobSpec, task_type: str, role: Role) -> Message:
    disk_gib = role.disk_gib
    return _message(
        machineSpec=machine_spec(role),
        replicaCount=role.replicas,
        diskSpec=_message(bootDiskSizeGb=disk_gib and max(_LEAST_DISK_GB, math.ceil(disk_gib))),
        nfsMounts=_nfs_mounts(spec, role),
        containerSpec=_container_spec(spec, task_type, role),
    )


def _nfs_mounts(spec: JobSpec, role: Role) -> list[Message]:
    mounted = ((mount, spec.volumes[mount.volume].nfs) for mount in spec.mounts_of(role))
    return [
        _message(server=nfs.server, path=nfs.path, mountPoint=last_part(mount.path))
        for mount, nfs in mounted
        if nfs is not None
    ]


def _container_spec(spec: JobSpec, task_type: str, role: Role) -> Message:
    program = spec.command_of(role)
    if spec.tuning is not None and spec.checkpoint_dir is not None:
        program = ("sh", "-c", _IN_FOLDER_OF_TRIAL, *program)
    variables = environment(spec, task_type, role)
    return _message(
        imageUri=spec.image_of(role),
        command=list(program[:1]),  # Replaces the image's ENTRYPOINT.
        args=list(program[1:]),
        env=[_message(name=name, value=variables[name]) for name in sorted(variables)],
    )


def _search(tuning: Tuning) -> Message:
    """Return the fields of a HyperparameterTuningJob that describe the search."""
    return _message(
        studySpec=_message(
            metrics=[_message(metricId=tuning.metric, goal=tuning.goal.upper())],
            parameters=[_parameter_spec(*item) for item in tuning.parameters.items()],
            algorithm=_ALGORITHMS.get(tuning.algorithm),
        ),
        maxTrialCount=tuning.trials,
        parallelTrialCount=tuning.parallel_trials,
        maxFailedTrialCount=tuning.failed_trials,
    )


def _parameter_spec(name: str, parameter: Hyperparameter) -> Message:
    values = list(parameter.values)
    if parameter.is_categorical:
        return _message(parameterId=name, categoricalValueSpec=_message(values=values))
    return _message(
        parameterId=name,
        discreteValueSpec=_message(values=[float(value) for value in values]),
        integerValueSpec=_range(parameter) if parameter.integer else None,
        doubleValueSpec=None if parameter.integer else _range(parameter),
        scaleType=_SCALES[parameter.scale],
    )


def _range(parameter: Hyperparameter) -> Message:
    number = int if parameter.integer else float
    ends = (parameter.minimum, parameter.maximum)
    low, high = (None if end is None else number(end) for end in ends)
    return _message(minValue=low, maxValue=high)
