"""The process that runs a job to its end, independently of the command that submitted the job.

`BackgroundLauncher` starts it as a program: supervisor.py TARGET JOB-FOLDER WORKING-FOLDER.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tfps.cluster import addresses
from tfps.cluster.processes import supervise
from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.processes.task import RunningTask
from tfps.jobs.background import ssh, this_machine
from tfps.jobs.background.launcher import BackgroundTarget, programs_folder
from tfps.jobs.background.record import (
    SUPERVISOR_GONE,
    JobFolder,
    JobRecord,
    Supervisor,
    TaskRecord,
)
from tfps.jobs.spec import JobSpec
from tfps.jobs.targets import State
from tfps.jobs.tasks import cluster_spec, tasks
from tfps.log import say


def main(target: BackgroundTarget, folder: str, working_folder: str) -> int:
    """Fork the supervisor; return 0 once it has written the first record, and 1 if it fails."""
    reading_end, writing_end = os.pipe()
    if os.fork() == 0:
        os.close(reading_end)
        os.setsid()
        os.chdir(working_folder)
        return _supervise(target, JobFolder(Path(folder)), writing_end)
    os.close(writing_end)
    return 0 if os.read(reading_end, 1) else 1


def _supervise(target: BackgroundTarget, folder: JobFolder, writing_end: int) -> int:
    spec = folder.read_spec()
    planned = _planned(target, spec, folder)
    record = JobRecord(
        supervisor=Supervisor.this(),
        state="running",
        tasks=tuple(TaskRecord(task_type=task.type, index=task.index) for task in tasks(spec)),
    )
    recorder = _Recorder(folder, record)
    os.write(writing_end, b"1")
    os.close(writing_end)
    return supervise.run_job(planned, timeout_s=spec.timeout_s, watcher=recorder)


def _planned(target: BackgroundTarget, spec: JobSpec, folder: JobFolder) -> tuple[TaskProcess, ...]:
    if target == "ssh":
        folders = ssh.RemoteFolders(working=os.getcwd(), path=programs_folder())
        return tuple(ssh.processes(spec, folders, os.environ, folder.output))
    ports = iter(addresses.free_ports(len(list(tasks(spec)))))
    cluster = cluster_spec(spec, lambda task: f"{addresses.LOOPBACK}:{next(ports)}")
    inherited = {**os.environ, "PATH": this_machine.search_path()}
    return tuple(this_machine.processes(spec, cluster, inherited, folder.output))


class _Recorder:
    """Records the state of a job whenever it changes."""

    def __init__(self, folder: JobFolder, record: JobRecord) -> None:
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
        records = (changed if changed.task == old.task else old for old in self._record.tasks)
        self._write(tasks=tuple(records))

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
        except OSError as error:  # A full disk must not end a job.
            say(f"the state of the job cannot be recorded: {error}", "tfps local")


def _state_of(task: RunningTask) -> State:
    if task.state != "ended":
        return task.state
    if task.code == 0:
        return "succeeded"
    return "cancelled" if task.was_stopped else "failed"


if __name__ == "__main__":
    sys.exit(main("ssh" if sys.argv[1] == "ssh" else "local", *sys.argv[2:]))
