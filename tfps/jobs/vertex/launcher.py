"""Submit a job to Vertex AI, report its status and logs, and cancel it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tfps.cluster.spec import TASK_TYPES, Task
from tfps.errors import LaunchError
from tfps.jobs.spec import JobSpec
from tfps.jobs.targets import JobStatus, State
from tfps.jobs.vertex.api import (
    Jobs,
    as_launch_errors,
    default_credentials,
    kind_of,
    message_of,
    regional_client,
)
from tfps.jobs.vertex.logs import CloudLogging, LogSource
from tfps.jobs.vertex.render import render

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import JobServiceClient

_STATES: dict[str, State] = {
    "JOB_STATE_QUEUED": "pending",
    "JOB_STATE_PENDING": "pending",
    "JOB_STATE_PAUSED": "pending",
    "JOB_STATE_RUNNING": "running",
    "JOB_STATE_UPDATING": "running",
    "JOB_STATE_CANCELLING": "running",
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VertexLauncher:
    """Launches jobs on Vertex AI. A spec stands for the newest job whose display name is its name.

    Attributes:
        client: Returns a client of the API for a region.
        logging: The source of the tasks' output.
    """

    client: Callable[[str], JobServiceClient] = regional_client
    logging: CloudLogging = dataclasses.field(default_factory=CloudLogging)

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Create the job and return its resource name.

        Args:
            spec: The job.
            dry_run: Only convert the job into a message of the API, and return its display name.

        Raises:
            JobSpecError: Vertex AI cannot run the job that the spec describes.
            LaunchError: The API refuses or cannot be reached, or a job of this name runs.
        """
        (document,) = render(spec).documents
        with as_launch_errors():
            if dry_run:
                message_of(document)
                return spec.name
            jobs = self._jobs(spec)
            last = jobs.newest(spec.name)
            if last is not None and not _status(last).is_over:
                raise LaunchError(
                    f"A job {spec.name!r} is {_status(last).state} already: {last.name}. Cancel "
                    "it with tfps cancel, or give this one another name."
                )
            return jobs.create(document)

    def status(self, spec: JobSpec) -> JobStatus:
        """Return the status of the job, without tasks: Vertex AI does not report on them.

        Raises:
            LaunchError: There is no job of this name, or the API cannot be reached.
        """
        with as_launch_errors():
            return _status(self._newest(spec))

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines of a task's output; in a search, over those of all trials.

        Raises:
            LaunchError: There is no job of this name, or Google Cloud cannot be reached.
        """
        with as_launch_errors():
            source = LogSource(
                project=_project(spec),
                task=f"workerpool{TASK_TYPES.index(task.type)}-{task.index}",
                jobs=lambda: _logged_jobs(self._newest(spec)),
                may_grow=lambda: follow and not self.status(spec).is_over,
            )
            yield from self.logging.lines(source)

    def cancel(self, spec: JobSpec) -> str:
        """Request the cancellation of the job, which stays in Vertex AI's list.

        Raises:
            LaunchError: There is no job of this name, or the API cannot be reached.
        """
        with as_launch_errors():
            job = self._newest(spec)
            status = _status(job)
            if status.is_over:
                return f"{job.name} is over already: {status.state}."
            self._jobs(spec).cancel(job.name)
            return f"Vertex AI cancels {job.name}."

    def _newest(self, spec: JobSpec) -> Any:
        jobs = self._jobs(spec)
        job = jobs.newest(spec.name)
        if job is None:
            raise LaunchError(
                f"Vertex AI has no job {spec.name!r} in {jobs.parent}. Submit it, or correct "
                "vertex.project and vertex.location."
            )
        return job

    def _jobs(self, spec: JobSpec) -> Jobs:
        location = spec.vertex.location
        if location is None:
            raise LaunchError("The job has no region. Give vertex.location, e.g. europe-west4.")
        return Jobs(
            client=self.client(location),
            parent=f"projects/{_project(spec)}/locations/{location}",
            kind=kind_of(spec),
        )


def _project(spec: JobSpec) -> str:
    project = spec.vertex.project or default_credentials()[1]
    if project is None:
        raise LaunchError(
            "The job has no project, and the credentials name none. Give vertex.project."
        )
    return project


def _status(job: Any) -> JobStatus:
    return JobStatus(
        name=job.name,
        state=_STATES.get(job.state.name, "unknown"),
        message=job.error.message or _progress(job),
    )


def _logged_jobs(job: Any) -> dict[str, str]:
    """Return the ids of the jobs that write logs, each with the prefix for its lines.

    Args:
        job: A CustomJob, or a HyperparameterTuningJob, of which each trial is such a job.
    """
    if not _is_search(job):
        return {_job_id(job.name): ""}
    return {
        _job_id(trial.custom_job): f"trial {trial.id}: " for trial in job.trials if trial.custom_job
    }


def _progress(job: Any) -> str:
    """Return the progress of a search and its best trial so far; empty for a CustomJob."""
    if not _is_search(job):
        return ""
    ended = [trial for trial in job.trials if trial.state.name in ("SUCCEEDED", "INFEASIBLE")]
    summary = f"{len(ended)} of {job.max_trial_count} trials have ended"
    measured = [trial for trial in ended if trial.final_measurement.metrics]
    if not measured:
        return summary
    (metric,) = job.study_spec.metrics
    best = (min if metric.goal.name == "MINIMIZE" else max)(measured, key=_result)
    values = ", ".join(f"{each.parameter_id}={_value(each.value)}" for each in best.parameters)
    return f"{summary}; best {metric.metric_id} {_result(best):g} in trial {best.id} ({values})"


def _is_search(job: Any) -> bool:
    from google.cloud.aiplatform_v1 import HyperparameterTuningJob

    return isinstance(job, HyperparameterTuningJob)


def _job_id(name: str) -> str:
    return name.rpartition("/")[2]


def _result(trial: Any) -> float:
    return float(trial.final_measurement.metrics[0].value)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
