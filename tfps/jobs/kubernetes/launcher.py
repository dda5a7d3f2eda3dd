"""Submit a job to Kubernetes in one of three forms, report its status and logs, and cancel it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.kubernetes import jobset, plain, states, tfjob
from tfps.jobs.kubernetes.api_resources import (
    JOB,
    JOB_SET,
    POD,
    STATEFUL_SET,
    TF_JOB,
    WORKLOADS,
    ApiResource,
    resource_of,
)
from tfps.jobs.kubernetes.api_server import ApiServer, connect
from tfps.jobs.kubernetes.logs import TaskLogs
from tfps.jobs.kubernetes.submission import label_selector, objects_of, remove, submit
from tfps.jobs.rendering import Renderer
from tfps.jobs.spec import JobSpec
from tfps.jobs.targets import JobStatus, State, TaskStatus
from tfps.jobs.tasks import tasks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """One of the three forms of a job on Kubernetes.

    Attributes:
        render: Renders the objects.
        resource: The kind of the main object, whose end is the job's end.
        suffix: The part of the main object's name that follows the job's name.
    """

    render: Renderer
    resource: ApiResource
    suffix: str = ""


PLAIN = Form(render=plain.render, resource=JOB, suffix="-chief")
AS_JOB_SET = Form(render=jobset.render, resource=JOB_SET)
AS_TF_JOB = Form(render=tfjob.render, resource=TF_JOB)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KubernetesLauncher:
    """Launches jobs on the cluster of kubectl's current context, or the one that this runs in.

    Attributes:
        form: The form in which jobs are submitted.
        connect: Returns the API server, given a namespace or None for the context's.
    """

    form: Form
    connect: Callable[[str | None], ApiServer] = connect

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Create the job's objects; those of a finished job of this name are replaced.

        Raises:
            LaunchError: A job of this name runs, the server refuses objects (then none is created),
                or it cannot be reached.
        """
        documents = self.form.render(spec).documents
        server = self._server(spec)
        self._check_not_running(server, spec)
        submit(server, spec, documents, dry_run=dry_run)
        return self._named(server, spec)

    def status(self, spec: JobSpec) -> JobStatus:
        """Return the status of the job and its pods.

        Raises:
            LaunchError: There is no such job, or the server cannot be reached.
        """
        server = self._server(spec)
        job = self._job(server, spec)
        pods = server.list(POD, label_selector(spec))
        statuses = [states.task_status(task, pods) for task in tasks(spec)]
        known = tuple(status for status in statuses if status is not None)
        state, message = states.end_of(job)
        if state is None:
            state, message = _state_before_end(known), states.waiting_reason(job)
        elif not message:
            message = self._still_running(server, spec)
        return JobStatus(name=self._named(server, spec), state=state, message=message, tasks=known)

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines that a task has written since its latest start.

        Raises:
            LaunchError: There is no such job, the task has no output, or the server cannot be
                reached.
        """
        server = self._server(spec)
        self._job(server, spec)
        logs = TaskLogs(
            server=server,
            selector=label_selector(spec),
            task=task,
            is_over=lambda: self._is_over(server, spec),
        )
        yield from logs.follow() if follow else logs.now()

    def cancel(self, spec: JobSpec) -> str:
        """Delete all objects of the job, and wait until its pods have ended.

        Raises:
            LaunchError: There is no such job, objects remain, or the server cannot be reached.
        """
        server = self._server(spec)
        resources = [resource_of(document) for document in self.form.render(spec).documents]
        objects = objects_of(server, spec, resources)
        has_workload = any(resource in WORKLOADS for resource, _ in objects)
        # All forms share some kinds. Objects of a running job in another form are left alone.
        if not objects or (not has_workload and _has_running_pods(server, spec)):
            raise self._no_such_job(server, spec)
        remove(server, spec, objects)
        return f"{self._named(server, spec)} deleted, and {len(objects) - 1} objects with it"

    def _server(self, spec: JobSpec) -> ApiServer:
        return self.connect(spec.kubernetes.namespace)

    def _name(self, spec: JobSpec) -> str:
        return f"{spec.name}{self.form.suffix}"

    def _named(self, server: ApiServer, spec: JobSpec) -> str:
        return f"{server.namespace}/{self.form.resource.named(self._name(spec))}"

    def _job(self, server: ApiServer, spec: JobSpec) -> dict[str, Any]:
        job = server.get(self.form.resource, self._name(spec))
        if job is None:
            raise self._no_such_job(server, spec)
        return job

    def _is_over(self, server: ApiServer, spec: JobSpec) -> bool:
        job = server.get(self.form.resource, self._name(spec))
        return job is None or states.end_of(job)[0] is not None

    def _no_such_job(self, server: ApiServer, spec: JobSpec) -> LaunchError:
        return LaunchError(
            f"{server.where} has no {self.form.resource.named(self._name(spec))} in namespace "
            f"{server.namespace}. It was never submitted there with this target, was cancelled, or "
            f"has ended more than {spec.kubernetes.keep_s} s ago (kubernetes.keep_s)."
        )

    def _check_not_running(self, server: ApiServer, spec: JobSpec) -> None:
        job = server.get(self.form.resource, self._name(spec))
        if job is not None and states.end_of(job)[0] is not None:
            return
        if job is not None or _has_running_pods(server, spec):
            raise LaunchError(
                f"{server.where}: a job {spec.name} runs in namespace {server.namespace}. Wait for "
                "its end, end it with tfps cancel and the target it was submitted to, or choose "
                "another name."
            )

    def _still_running(self, server: ApiServer, spec: JobSpec) -> str:
        """Return a message about StatefulSets that run on because the Job NAME-ending failed."""
        if self.form.resource is not JOB:
            return ""
        ending = server.get(JOB, f"{spec.name}-ending")
        if ending is None or states.end_of(ending)[0] != "failed":
            return ""
        sets = server.list(STATEFUL_SET, label_selector(spec))
        running = [each["metadata"]["name"] for each in sets if each["spec"].get("replicas", 1)]
        if not running:
            return ""
        return f"job.batch/{spec.name}-ending has failed, so {', '.join(running)} still run"


def _has_running_pods(server: ApiServer, spec: JobSpec) -> bool:
    pods = server.list(POD, label_selector(spec))
    return any(not states.has_ended(pod) for pod in pods)


def _state_before_end(statuses: tuple[TaskStatus, ...]) -> State:
    chief = next((status for status in statuses if status.task.type == "chief"), None)
    return "running" if chief is not None and chief.state == "running" else "pending"
