"""A Slurm cluster of four nodes on this machine, from Debian's slurm-wlm, with its own files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.processes import Processes, processes, until
from tfps.cluster import addresses

NODES = ("n1", "n2", "n3", "n4")
PROGRAMS = ("munged", "sbatch", "scancel", "sinfo", "slurmctld", "slurmd", "srun")


def missing() -> list[str]:
    """Name the programs that are not installed; services are in /usr/sbin."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


class Slurm:
    """A Slurm that runs, and the jobs that are handed to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([os.environ["PATH"], "/usr/sbin"]),
        }

    def submit(self, script: str) -> str:
        """Hand over a script on standard input; return the job's number."""
        return self._ask("sbatch", "--parsable", script=script).strip()

    def state(self, job: str) -> tuple[str, str]:
        """Return state and exit code of a job: the same for each of its components."""
        shown = self._ask("scontrol", "show", "job", "-o", job)
        states = set(re.findall(r"JobState=(\S+).* ExitCode=(\S+)", shown))
        assert len(states) >= 1
        return states.pop() if len(states) == 1 else ("MIXED", "")

    def until_over(self, job: str, *, deadline_s: float = 60.0) -> tuple[str, str]:
        """Wait until a job has ended; return its state and exit code."""
        live = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "MIXED")
        until(lambda: self.state(job)[0] not in live, deadline_s=deadline_s)
        return self.state(job)

    def cancel(self, job: str) -> None:
        """End a job."""
        self._ask("scancel", job)

    def log(self, name: str) -> str:
        """Return what a file in the folder from which jobs are submitted has so far."""
        path = self.folder / "jobs" / name
        return path.read_text() if path.exists() else ""

    def _ask(self, *command: str, script: str | None = None) -> str:
        return subprocess.run(
            command,
            input=script,
            cwd=self.folder / "jobs",
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        ).stdout

    def idle(self) -> bool:
        """Return whether all nodes are free."""
        with contextlib.suppress(subprocess.CalledProcessError):
            return self._ask("sinfo", "--noheader", "--states=idle", "--format=%D").strip() == "4"
        return False


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Run a Slurm whose files are in a folder."""
    _write_configuration(folder)
    ours = Slurm(folder)
    with processes(folder) as started:
        _start(folder, started, ours)
        yield ours
        for daemon in reversed(started.started):
            daemon.terminate()
            daemon.wait(20)


def _start(folder: Path, started: Processes, ours: Slurm) -> None:
    names = ("socket", "key-file", "seed-file", "log-file", "pid-file")
    files = [f"--{name}={folder}/munge.{name}" for name in names]
    started.start(["munged", "--foreground", "--force", *files], environment=ours.environment)
    until((folder / "munge.socket").exists)
    started.start(["slurmctld", "-D", "-c"], environment=ours.environment)
    for node in NODES:
        started.start(["slurmd", "-D", "-N", node], environment=ours.environment)
    until(ours.idle)


def _write_configuration(folder: Path) -> None:
    (folder / "munge.key-file").write_bytes(os.urandom(128))
    (folder / "munge.key-file").chmod(0o400)
    for name in ("state", "jobs", *NODES):
        (folder / name).mkdir()
    (folder / "cgroup.conf").touch()
    (folder / "gpu").touch()
    gpus = (f"NodeName={node} Name=gpu Type=odd File={folder}/gpu\n" for node in NODES[:2])
    (folder / "gres.conf").write_text("".join(gpus))
    host, ports = socket.gethostname(), addresses.free_ports(1 + len(NODES))
    nodes = "".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 "
        f"RealMemory=20000 {'Gres=gpu:odd:1' if node in NODES[:2] else ''}\n"
        for node, port in zip(NODES, ports[1:], strict=True)
    )
    (folder / "slurm.conf").write_text(
        f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
KillWait=5
{nodes}PartitionName=main Nodes={",".join(NODES)} Default=YES MaxTime=INFINITE State=UP
"""
    )
