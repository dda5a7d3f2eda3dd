"""Target ssh: the commands that run a job's tasks on its hosts, one document for each."""

from __future__ import annotations

from tfps.jobs import machines
from tfps.jobs.cluster import name_of
from tfps.jobs.rendering import Rendering
from tfps.jobs.spec import JobSpec
from tfps.jobs.ssh.plan import Place, processes


def render(spec: JobSpec) -> Rendering:
    """Render a job as commands, each of which runs a task for as long as it is connected.

    A job that is submitted runs in the folder of the same path as the one that it is submitted
    from; where that is, a rendering does not know.

    Raises:
        JobSpecError: The hosts do not make a cluster.
    """
    documents = (
        {
            "task": name_of(process.task),
            "host": process.host,
            "command": list(process.command),
            "restarts": process.restarts,
        }
        for process in processes(spec, Place(), environ={})
    )
    return Rendering(documents=tuple(documents), left_out=tuple(machines.left_out(spec)))
