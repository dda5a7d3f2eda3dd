"""Target local: the processes that a job is on this machine, one document for each."""

from __future__ import annotations

from collections.abc import Iterator

from tfps.cluster import addresses
from tfps.errors import Fault
from tfps.jobs import hosts, machines
from tfps.jobs.cluster import name_of
from tfps.jobs.local.plan import keeps_checkpoint_dir, processes
from tfps.jobs.rendering import Rendering
from tfps.jobs.spec import JobSpec


def render(spec: JobSpec) -> Rendering:
    """Render a job as processes.

    What they have besides of this machine's environment is left out. Ports count up from the
    spec's; a job that is submitted gets others, which are free.

    Raises:
        JobSpecError: There are too few ports after the spec's.
    """
    cluster = hosts.cluster_at(spec, lambda task: addresses.LOOPBACK)
    documents = (
        {
            "task": name_of(process.task),
            "command": list(process.command),
            "restarts": process.restarts,
            "env": dict(process.environment),
        }
        for process in processes(spec, cluster, inherited={})
    )
    return Rendering(documents=tuple(documents), left_out=tuple(_left_out(spec)))


def _left_out(spec: JobSpec) -> Iterator[Fault]:
    yield from machines.left_out(spec, hosts="all tasks run on this machine.")
    if not keeps_checkpoint_dir(spec):
        yield Fault(
            ("checkpoint_dir",),
            "it lies on a volume that this machine does not have, so tasks get no "
            "TFPS_CHECKPOINT_DIR. The recipes then keep checkpoints in runs/.",
        )
