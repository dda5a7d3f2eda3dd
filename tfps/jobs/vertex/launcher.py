"""Hand a job to Vertex AI, ask after it, read its logs, cancel it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tfps.cluster.spec import TASK_TYPES, Task
from tfps.errors import LaunchError
from tfps.jobs.launching import JobStatus, State
from tfps.jobs.spec import JobSpec
from tfps.jobs.vertex import trials
from tfps.jobs.vertex.api import (
    Jobs,
    client_errors_told,
    default_credentials,
    kind_of,
    message_of,
    regional_client,
)
from tfps.jobs.vertex.logs import CloudLogging, Source
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
    """Vertex AI. A job is found again by its display name, the spec's: the newest of that name.

    Attributes:
        client: Makes a client of the API for a region.
        logging: Where the lines of tasks are read.
    """

    client: Callable[[str], JobServiceClient] = regional_client
    logging: CloudLogging = dataclasses.field(default_factory=CloudLogging)

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Create the job, and return its resource name.

        Args:
            spec: The job.
            dry_run: Parse it into the API's own message only, and return its display name.

        Raises:
            JobSpecError: Vertex AI cannot run it as the spec has it.
            LaunchError: The API refuses it or is not reached, or a job of this name runs.
        """
        (document,) = render(spec).documents
        with client_errors_told():
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
        """Tell how the job is; Vertex AI says nothing of single tasks.

        Raises:
            LaunchError: There is no job of this name, or the API is not reached.
        """
        with client_errors_told():
            return _status(self._newest(spec))

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines of a task's output; of a search, over those of all its trials.

        Raises:
            LaunchError: There is no job of this name, or Google Cloud is not reached.
        """
        with client_errors_told():
            source = Source(
                project=_project(spec),
                task=f"workerpool{TASK_TYPES.index(task.type)}-{task.index}",
                jobs=lambda: trials.jobs_of(self._newest(spec)),
                goes_on=lambda: follow and not self.status(spec).is_over,
            )
            yield from self.logging.lines(source)

    def cancel(self, spec: JobSpec) -> str:
        """Have Vertex AI cancel the job, which then stays in its list.

        Raises:
            LaunchError: There is no job of this name, or the API is not reached.
        """
        with client_errors_told():
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
        message=job.error.message or trials.progress(job),
    )
