"""Variants of a job whose Kubernetes objects differ, and their renderings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.unit.jobs.specs import spec
from tfps.jobs.kubernetes import jobset, plain, tfjob
from tfps.jobs.platforms import Kubernetes
from tfps.jobs.rendering import Document
from tfps.jobs.role import Role, Toleration
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Nfs, Volume

RENDERERS = {"kubernetes": plain.render, "jobset": jobset.render, "tfjob": tfjob.render}
CLOUDS = ("gke", "eks", "aks", "karpenter", "none")


def rendered(target: str, job: JobSpec) -> tuple[Document, ...]:
    return RENDERERS[target](job).documents


def of_kind(documents: tuple[Document, ...], kind: str) -> dict[str, Document]:
    return {item["metadata"]["name"]: item for item in documents if item["kind"] == kind}


def variants() -> Iterator[JobSpec]:
    """Yield jobs whose Kubernetes objects differ."""
    volumes = {
        "claim": Volume(claim="runs"),
        "nfs": Volume(nfs=Nfs(server="10.0.0.9", path="/export")),
        "scratch": Volume(empty_dir_gib=1.5),
        "memory": Volume(memory_gib=2.0),
        "secret": Volume(secret="key"),
        "config": Volume(config_map="settings"),
        "node": Volume(host_path="/mnt/data"),
    }
    mounts = tuple(Mount(volume=name, path=f"/mnt/{name}") for name in volumes)
    worker = Role(
        replicas=3,
        minimum_replicas=2,
        cpu=0.5,
        disk_gib=10.0,
        gpus=2,
        gpu_type="nvidia-l4",
        machine_type="g2-standard-24",
        env={"PATTERN": "$(HOME) $$ $HOME"},
        ports={"profiler": 6009},
        node_selector={"example.com/pool": "a"},
        tolerations=(Toleration(key="a", operator="Exists"), Toleration(key="b", value="c")),
        mounts=(Mount(volume="claim", path="/data", read_only=True),),
    )
    for cloud, spot, evaluator in itertools.product(CLOUDS, (True, False), (True, False)):
        roles = {
            "ps": Role(replicas=2),
            "worker": Role(**{**vars(worker), "spot": spot}),
            **({"evaluator": Role()} if evaluator else {}),
        }
        yield spec(
            roles,
            labels={"team": "search"},
            checkpoint_dir="/mnt/nfs/runs",
            timeout_s=3600,
            volumes=volumes,
            mounts=mounts,
            kubernetes=Kubernetes(
                cloud=cloud,
                namespace="training",
                service_account="trainer",
                priority_class="high",
                image_pull_secrets=("registry",),
                image_pull_policy="Always",
            ),
        )
    yield spec()
    yield spec(volumes={"b": Volume(gcs_bucket="my-runs")}, mounts=(Mount(volume="b", path="/b"),))


JOBS = list(variants())
each_target = pytest.mark.parametrize("target", RENDERERS)
