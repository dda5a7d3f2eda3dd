"""Where a job can run: for each target its renderer, and its launcher if it has one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

from tfps.jobs.rendering import Renderer

if TYPE_CHECKING:
    from tfps.jobs.launching import Launcher

TargetName = Literal[
    "tf-config", "local", "ssh", "slurm", "kubernetes", "jobset", "tfjob", "vertex"
]
"""What `--target` takes."""

LaunchTargetName = Literal["local", "ssh", "kubernetes", "jobset", "tfjob", "vertex"]
"""What `--target` takes where a job is handed over."""

TARGET_NAMES: tuple[TargetName, ...] = get_args(TargetName)

# The modules, each with a function `render`. They are imported when they are needed.
_RENDERERS: Mapping[TargetName, str] = {
    "tf-config": "tfps.jobs.tf_configs",
    "local": "tfps.jobs.local.render",
    "ssh": "tfps.jobs.ssh.render",
    "slurm": "tfps.jobs.slurm",
    "kubernetes": "tfps.jobs.kubernetes.plain",
    "jobset": "tfps.jobs.kubernetes.jobset",
    "tfjob": "tfps.jobs.kubernetes.tfjob",
    "vertex": "tfps.jobs.vertex.render",
}


def renderer(target: TargetName) -> Renderer:
    """Return the function that renders a job for a target."""
    render: Renderer = importlib.import_module(_RENDERERS[target]).render
    return render


def launcher(target: LaunchTargetName) -> Launcher:
    """Return what hands jobs to a target."""
    if target == "local":
        from tfps.jobs.local.launcher import LocalLauncher

        return LocalLauncher()
    if target == "ssh":
        from tfps.jobs.ssh.launcher import SshLauncher

        return SshLauncher()
    if target == "vertex":
        from tfps.jobs.vertex.launcher import VertexLauncher

        return VertexLauncher()
    from tfps.jobs.kubernetes import launcher as kubernetes

    forms = {
        "kubernetes": kubernetes.PLAIN,
        "jobset": kubernetes.AS_JOB_SET,
        "tfjob": kubernetes.AS_TF_JOB,
    }
    return kubernetes.KubernetesLauncher(form=forms[target])
