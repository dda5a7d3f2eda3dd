"""What of a spec Vertex AI cannot do: faults, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.jobs.specs import spec
from tests.unit.jobs.vertex.renderings import document, faults, job, left_out
from tfps.jobs.platforms import Kubernetes, Vertex
from tfps.jobs.role import Role, Toleration
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Nfs, Volume
from tfps.jobs.tasks import environment


def worker(**fields: Any) -> JobSpec:
    return job({"worker": Role(**fields)})


def mounted(path: str, network: str | None = None, **volume: Any) -> JobSpec:
    return job(
        volumes={"data": Volume(**volume)},
        mounts=(Mount(volume="data", path=path),),
        vertex=Vertex(network=network),
    )


def environment_of_worker(spec: JobSpec) -> dict[str, str]:
    return environment(spec, "worker", spec.roles.worker)


MANY_VARIABLES = worker(env={f"V{index}": "" for index in range(101)})
NETWORK = "projects/1/global/networks/training"
NFS = Nfs(server="10.0.0.7", path="/exports")

FAULTS = {
    "no image": (
        job(image=None, roles={name: Role(image="a/b") for name in ("chief", "worker")}),
        "roles.ps: neither the role nor the job has an image. Give one, with the path that "
        "Artifact Registry shows for it.",
    ),
    "unknown GPU": (
        worker(gpus=1, gpu_type="nvidia-tesla-a10"),
        "roles.worker.gpu_type: 'nvidia-tesla-a10' is not a GPU of Vertex AI. Did you mean "
        "'nvidia-tesla-a100'? Choose one of nvidia-tesla-t4, nvidia-tesla-v100, nvidia-tesla-p4, "
        "nvidia-l4, nvidia-rtx-pro-6000, nvidia-tesla-a100, nvidia-a100-80gb, nvidia-h100-80gb, "
        "nvidia-h100-mega-80gb, nvidia-h200-141gb, nvidia-b200, nvidia-gb200.",
    ),
    "number of GPUs": (
        worker(gpus=3, gpu_type="nvidia-l4"),
        "roles.worker.gpus: no machine of Vertex AI has 3 nvidia-l4. Give one of 1, 2, 4, 8.",
    ),
    "unknown machine": (
        worker(machine_type="n2-standard-6"),
        "roles.worker.machine_type: 'n2-standard-6' is no machine that Vertex AI trains on. Did "
        "you mean 'n2-standard-64'? Choose one of the series n2, n1, e2, n4, c2, m1, g2, g4, a2, "
        "a3, a4, a4x.",
    ),
    "machine without GPUs": (
        worker(machine_type="n2-standard-8", gpus=1, gpu_type="nvidia-l4"),
        "roles.worker.machine_type: 'n2-standard-8' has no GPUs, but the role asks for 1 "
        "nvidia-l4. Leave machine_type out, or correct gpus and gpu_type.",
    ),
    "machine with GPUs": (
        worker(machine_type="g2-standard-24"),
        "roles.worker.machine_type: 'g2-standard-24' has 2 nvidia-l4, but the role asks for no "
        "GPUs. Leave machine_type out, or correct gpus and gpu_type.",
    ),
    "machine with other GPUs": (
        worker(machine_type="n1-highmem-96", gpus=2, gpu_type="nvidia-tesla-t4"),
        "roles.worker.machine_type: 'n1-highmem-96' has 4 nvidia-tesla-t4, or 8 nvidia-tesla-v100, "
        "or 4 nvidia-tesla-p4, but the role asks for 2 nvidia-tesla-t4. Leave machine_type out, "
        "or correct gpus and gpu_type.",
    ),
    "small machine": (
        worker(machine_type="n2-standard-4", cpu=8, memory_gib=8),
        "roles.worker.machine_type: 'n2-standard-4' has 4 cores and 16 GiB, but the role asks for "
        "cpu 8 and memory_gib 8. Leave machine_type out, or ask for less.",
    ),
    "no machine is so large": (
        worker(cpu=200),
        "roles.worker: no machine of Vertex AI without GPUs has room for cpu 200 and memory_gib "
        "4: they have up to 160 cores and up to 3844 GiB, of which Vertex AI takes up to 6. Ask "
        "for less, with more replicas.",
    ),
    "no machine with the GPU is so large": (
        worker(gpus=1, gpu_type="nvidia-l4", memory_gib=123),
        "roles.worker: no machine of Vertex AI with 1 nvidia-l4 has room for cpu 1 and memory_gib "
        "123: they have up to 32 cores and up to 128 GiB, of which Vertex AI takes up to 6. Ask "
        "for less, with more replicas.",
    ),
    "disk": (
        worker(disk_gib=64_001),
        "roles.worker.disk_gib: 64001 is too much. Give at most 64000.",
    ),
    "spot for some": (
        worker(spot=True),
        "roles.worker.spot: Vertex AI takes either all machines of a job as spot machines or none. "
        "Give spot: true to all roles (losing a machine starts the job again), or to none.",
    ),
    "variables": (
        MANY_VARIABLES,
        f"roles.worker.env: a task would have {len(environment_of_worker(MANY_VARIABLES))} "
        "variables with those of the job and of tfps, but Vertex AI takes at most 100. Put some "
        "into a file of the image.",
    ),
    "bucket": (
        mounted("/data", gcs_bucket="my-data"),
        "mounts[0].path: '/data' is not where Vertex AI mounts it. Write '/gcs/my-data'.",
    ),
    "share": (
        mounted("/data", network=NETWORK, nfs=NFS),
        "mounts[0].path: '/data' is not where Vertex AI mounts it. Write '/mnt/nfs/data'.",
    ),
    "deep share": (
        mounted("/mnt/nfs/my/data", network=NETWORK, nfs=NFS),
        "mounts[0].path: '/mnt/nfs/my/data' is not where Vertex AI mounts it. Write "
        "'/mnt/nfs/data'.",
    ),
    "share without a network": (
        mounted("/mnt/nfs/data", nfs=NFS),
        "volumes.data.nfs: tasks reach no share without a VPC. Give vertex.network.",
    ),
    "share of a host name": (
        mounted("/mnt/nfs/data", network=NETWORK, nfs=Nfs(server="files.example", path="/exports")),
        "volumes.data.nfs.server: 'files.example' is not an IP address, by which alone Vertex AI "
        "finds a server. Give its private address in the VPC.",
    ),
    "claim": (
        mounted("/data", claim="data"),
        "volumes.data.claim: Vertex AI has no PersistentVolumeClaims. Use a gcs_bucket or nfs.",
    ),
    "host path": (
        mounted("/data", host_path="/data"),
        "volumes.data.host_path: Vertex AI shows no folder of its machines. Use a gcs_bucket or "
        "nfs.",
    ),
    "scratch space": (
        mounted("/data", empty_dir_gib=10.0),
        "volumes.data.empty_dir_gib: Vertex AI has no scratch volumes. Write to /tmp, with "
        "disk_gib for its size.",
    ),
    "memory": (
        mounted("/data", memory_gib=10.0),
        "volumes.data.memory_gib: Vertex AI has no volumes in memory. Write to /dev/shm or /tmp.",
    ),
    "secret": (
        mounted("/data", secret="token"),
        "volumes.data.secret: Vertex AI has no Kubernetes Secrets. Let the program ask Secret "
        "Manager, with the rights of vertex.service_account.",
    ),
    "config map": (
        mounted("/data", config_map="words"),
        "volumes.data.config_map: Vertex AI has no ConfigMaps. Put the files into the image, or "
        "into a gcs_bucket.",
    ),
}


@pytest.mark.parametrize(("spec", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_fault_says_where_and_what_to_do(spec: JobSpec, sentence: str) -> None:
    assert faults(spec) == [sentence]


def test_all_faults_are_told_at_once() -> None:
    roles = {
        "worker": Role(gpus=3, gpu_type="nvidia-l4", mounts=(Mount(volume="b", path="/b"),)),
        "ps": Role(machine_type="x"),
    }
    spec = job(roles, image=None, volumes={"b": Volume(gcs_bucket="bbb")})
    paths = [fault.partition(": ")[0] for fault in faults(spec)]
    assert sorted(paths) == [
        "roles.chief",
        "roles.ps",
        "roles.ps.machine_type",
        "roles.worker",
        "roles.worker.gpus",
        "roles.worker.mounts[0].path",
    ]


def test_a_volume_that_no_task_mounts_is_no_fault() -> None:
    assert faults(job(volumes={"data": Volume(claim="data")})) == []


def worker(**fields: Any) -> JobSpec:
    return job({"worker": Role(**{"replicas": 2, **fields})})


LEFT_OUT = {
    "port": (job(port=5555), "port: Vertex AI has the servers listen at 2222."),
    "no end": (
        spec(),
        "timeout_s: Vertex AI ends a job after 7 days. Give more, if need be.",
    ),
    "label": (
        job(labels={"app.kubernetes.io/part-of": "Search"}),
        "labels.app.kubernetes.io/part-of: 'app.kubernetes.io/part-of: Search' is not a label that "
        "Google Cloud takes. To have it there, write lowercase letters, digits, '-' and '_', with "
        "a letter first.",
    ),
    "read-only mount": (
        job(
            volumes={"data": Volume(gcs_bucket="data")},
            mounts=(Mount(volume="data", path="/gcs/data", read_only=True),),
        ),
        "mounts[0].read_only: Vertex AI mounts nothing so; what the task's service account may "
        "write to, or the share exports, is writable.",
    ),
    "fewer replicas": (
        worker(minimum_replicas=1),
        "roles.worker.minimum_replicas: Vertex AI empties no machines: it starts again what it "
        "loses.",
    ),
    "ports": (
        worker(ports={"tensorboard": 6006}),
        "roles.worker.ports: Vertex AI names no further ports.",
    ),
    "node labels": (
        worker(node_selector={"pool": "gpus"}),
        "roles.worker.node_selector: Vertex AI has no nodes to choose from. Choose a machine_type.",
    ),
    "tolerations": (
        worker(tolerations=(Toleration(operator="Exists"),)),
        "roles.worker.tolerations: Vertex AI has no nodes to choose from.",
    ),
    "hosts": (
        worker(hosts=("a", "b")),
        "roles.worker.hosts: Vertex AI places the tasks itself.",
    ),
    "restarts": (
        worker(restarts=0),
        "roles.worker.restarts: Vertex AI starts a failed task again up to five times, and then "
        "the job up to three times; 0 for all roles forbids it to retry.",
    ),
}


@pytest.mark.parametrize(("job_spec", "sentence"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_is_told(job_spec: JobSpec, sentence: str) -> None:
    assert left_out(job_spec) == [sentence]


def test_labels_that_google_cloud_takes_stay() -> None:
    taken = {"team": "search", "cost-center": "0815", "empty": ""}
    rendered = document(job(labels=taken))
    assert rendered["labels"] == taken


def test_settings_of_another_platform_are_not_told() -> None:
    assert left_out(job(kubernetes=Kubernetes(namespace="training"))) == []
