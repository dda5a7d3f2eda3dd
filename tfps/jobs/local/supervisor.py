"""The process that runs a job to its end, whether who submitted it is still there or not.

Started by `SupervisedLauncher` as a program: supervisor.py TARGET JOB-FOLDER WORKING-FOLDER.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tfps.cluster import addresses
from tfps.cluster.processes import supervise
from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.processes.task import RunningTask
from tfps.jobs.cluster import cluster_spec, tasks
from tfps.jobs.launching import State
from tfps.jobs.local import plan as local_plan
from tfps.jobs.local.folder import JobFolder
from tfps.jobs.local.identity import Supervisor
from tfps.jobs.local.record import SUPERVISOR_GONE, Record, TaskRecord
from tfps.jobs.spec import JobSpec
from tfps.jobs.ssh import plan as ssh_plan
from tfps.log import say

Target = Literal["local", "ssh"]


def own_programs() -> str:
    """Return the folder of the Python that runs tfps, which tasks have first on their PATH.

    So `python` is the one that tfps is installed for, in a virtual environment that is not
    activated, too.
    """
    return os.path.dirname(sys.executable)


def search_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return the PATH of tasks on this machine."""
    return os.pathsep.join([own_programs(), environ.get("PATH", os.defpath)])


def main(target: Target, folder: str, working_folder: str) -> int:
    """Go on in a process of its own; return 0 once that one has written down the job."""
    written, writes = os.pipe()
    if os.fork() == 0:
        os.close(written)
        os.setsid()
        os.chdir(working_folder)
        return _supervise(target, JobFolder(Path(folder)), writes)
    os.close(writes)
    return 0 if os.read(written, 1) else 1


def _supervise(target: Target, folder: JobFolder, writes: int) -> int:
    spec = folder.read_spec()
    planned = _planned(target, spec, folder)
    record = Record(
        supervisor=Supervisor.this(),
        state="running",
        tasks=tuple(TaskRecord(task_type=task.type, index=task.index) for task in tasks(spec)),
    )
    recorder = _Recorder(folder, record)
    os.write(writes, b"1")
    os.close(writes)
    return supervise.run_job(planned, timeout_s=spec.timeout_s, watcher=recorder)


def _planned(target: Target, spec: JobSpec, folder: JobFolder) -> tuple[TaskProcess, ...]:
    if target == "ssh":
        place = ssh_plan.Place(folder=os.getcwd(), path=own_programs())
        return tuple(ssh_plan.processes(spec, place, os.environ, folder.output))
    ports = iter(addresses.free_ports(len(list(tasks(spec)))))
    cluster = cluster_spec(spec, lambda task: f"{addresses.LOOPBACK}:{next(ports)}")
    inherited = {**os.environ, "PATH": search_path()}
    return tuple(local_plan.processes(spec, cluster, inherited, folder.output))


class _Recorder:
    """Writes down how a job goes."""

    def __init__(self, folder: JobFolder, record: Record) -> None:
        self._folder = folder
        self._record = record
        folder.write(record)

    def task_changed(self, task: RunningTask) -> None:
        changed = TaskRecord(
            task_type=task.planned.task.type,
            index=task.planned.task.index,
            state=_state_of(task),
            restarts=task.restarts,
            place=task.planned.host or f"process {task.pid}",
            message="" if task.state == "running" or task.code == 0 else task.how_it_ended,
        )
        tasks_now = (changed if changed.task == old.task else old for old in self._record.tasks)
        self._write(tasks=tuple(tasks_now))

    def job_ended(self, outcome: supervise.Outcome) -> None:
        if outcome.code == 0:
            self._write(state="succeeded")
        elif outcome.why != "signal":
            self._write(state="failed", message=outcome.reason)
        elif outcome.code == 128 + signal.SIGKILL:
            self._write(state="failed", message=SUPERVISOR_GONE)
        else:
            self._write(state="cancelled", message=f"ended by {outcome.reason}")

    def _write(self, **changes: Any) -> None:
        self._record = dataclasses.replace(self._record, **changes)
        try:
            self._folder.write(self._record)
        except OSError as error:  # A full disk is no reason to end a job.
            say(f"how the job is cannot be written down: {error}", "tfps local")


def _state_of(task: RunningTask) -> State:
    if task.state != "ended":
        return task.state
    if task.code == 0:
        return "succeeded"
    return "cancelled" if task.was_stopped else "failed"


if __name__ == "__main__":
    sys.exit(main("ssh" if sys.argv[1] == "ssh" else "local", *sys.argv[2:]))
