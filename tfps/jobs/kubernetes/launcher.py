"""Hands a job to Kubernetes, in one of its three forms, asks after it, and ends it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.cluster import tasks
from tfps.jobs.kubernetes import jobset, plain, removal, states, tfjob
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
from tfps.jobs.kubernetes.logs import Logs
from tfps.jobs.kubernetes.submission import submit
from tfps.jobs.launching import JobStatus, State, TaskStatus
from tfps.jobs.rendering import Renderer
from tfps.jobs.spec import JobSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """One of the forms that a job has on Kubernetes.

    Attributes:
        render: Makes its objects.
        resource: The kind of the object whose end is the job's.
        suffix: What follows the job's name in that object's.
    """

    render: Renderer
    resource: ApiResource
    suffix: str = ""


PLAIN = Form(render=plain.render, resource=JOB, suffix="-chief")
AS_JOB_SET = Form(render=jobset.render, resource=JOB_SET)
AS_TF_JOB = Form(render=tfjob.render, resource=TF_JOB)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KubernetesLauncher:
    """The cluster of kubectl's current context, or the one that this runs in.

    Attributes:
        form: In which a job is handed over.
        connect: Returns the API server, given a namespace or None for the context's.
    """

    form: Form
    connect: Callable[[str | None], ApiServer] = connect

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Make the job's objects; those of a job of this name that is over are replaced.

        Raises:
            LaunchError: A job of this name runs, the server refuses objects (then none is made), or
                it is not reached.
        """
        documents = self.form.render(spec).documents
        server = self._server(spec)
        self._check_not_running(server, spec)
        submit(server, spec, documents, dry_run=dry_run)
        return self._named(server, spec)

    def status(self, spec: JobSpec) -> JobStatus:
        """Ask how the job and its pods are.

        Raises:
            LaunchError: There is no such job, or the server is not reached.
        """
        server = self._server(spec)
        job = self._job(server, spec)
        pods = server.list(POD, removal.selector(spec))
        found = [states.task_status(task, pods) for task in tasks(spec)]
        known = tuple(one for one in found if one is not None)
        state, message = states.end_of(job)
        if state is None:
            state, message = _state_so_far(known), states.waiting_reason(job)
        elif not message:
            message = self._not_ended(server, spec)
        return JobStatus(name=self._named(server, spec), state=state, message=message, tasks=known)

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines of a task's output, from its present start on.

        Raises:
            LaunchError: There is no such job, the task has no output, or the server is not reached.
        """
        server = self._server(spec)
        self._job(server, spec)
        logs = Logs(
            server=server,
            selector=removal.selector(spec),
            task=task,
            is_over=lambda: self._is_over(server, spec),
        )
        yield from logs.follow() if follow else logs.now()

    def cancel(self, spec: JobSpec) -> str:
        """Delete all objects of the job, and wait until its pods have ended.

        Raises:
            LaunchError: There is no such job, objects stay, or the server is not reached.
        """
        server = self._server(spec)
        resources = [resource_of(document) for document in self.form.render(spec).documents]
        objects = removal.objects_of(server, spec, resources)
        has_workload = any(resource in WORKLOADS for resource, _ in objects)
        # Some kinds are the same in every form: those of a job in another one are left alone.
        if not objects or (not has_workload and _busy(server, spec)):
            raise self._no_such_job(server, spec)
        removal.remove(server, spec, objects)
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
        if job is not None or _busy(server, spec):
            raise LaunchError(
                f"{server.where}: a job {spec.name} runs in namespace {server.namespace}. Wait for "
                "its end, end it with tfps cancel and the target it was submitted to, or choose "
                "another name."
            )

    def _not_ended(self, server: ApiServer, spec: JobSpec) -> str:
        """Say what still runs of a job of plain objects that is over, when nothing will end it."""
        if self.form.resource is not JOB:
            return ""
        ending = server.get(JOB, f"{spec.name}-ending")
        if ending is None or states.end_of(ending)[0] != "failed":
            return ""
        sets = server.list(STATEFUL_SET, removal.selector(spec))
        running = [one["metadata"]["name"] for one in sets if one["spec"].get("replicas", 1)]
        if not running:
            return ""
        return f"job.batch/{spec.name}-ending has failed, so {', '.join(running)} still run"


def _busy(server: ApiServer, spec: JobSpec) -> bool:
    pods = server.list(POD, removal.selector(spec))
    return any(not states.has_ended(pod) for pod in pods)


def _state_so_far(known: tuple[TaskStatus, ...]) -> State:
    chief_runs = any(one.task.type == "chief" and one.state == "running" for one in known)
    return "running" if chief_runs else "pending"
