"""Reading a job spec from YAML."""

from __future__ import annotations

import pytest

from tests.unit.jobs.specs import SMALL, read, spec
from tfps.errors import JobSpecError
from tfps.jobs.file import JobFile
from tfps.jobs.platforms import Hyperparameter, Kubernetes, Tuning, Vertex
from tfps.jobs.role import Role, Toleration
from tfps.jobs.spec import JobSpec, Roles
from tfps.jobs.storage import Mount, Nfs, Volume

EVERYTHING = """\
apiVersion: tfps/v1
name: everything
image: tfps:0.1.0
command: [python, -m, models.gpt_lm]
env: {SEED: "1"}
labels: {team: search}
port: 3333
checkpoint_dir: /runs/one
timeout_s: 3600
volumes:
  runs: {nfs: {server: 10.0.0.9, path: /export/runs}}
  words: {gcs_bucket: my-words}
  fast: {memory_gib: 2}
mounts:
  - {volume: runs, path: /runs}
roles:
  chief: {cpu: 0.5, memory_gib: 2}
  ps: {replicas: 2, machine_type: n2-highmem-8, disk_gib: 100}
  worker:
    replicas: 4
    minimum_replicas: 2
    cpu: 8
    memory_gib: 32
    gpus: 1
    gpu_type: nvidia-l4
    image: tfps:0.1.0-gpu
    command: [tfps, task]
    env: {TF_GPU_ALLOCATOR: cuda_malloc_async}
    ports: {profiler: 6009}
    mounts: [{volume: words, path: /gcs/my-words, read_only: true}]
    node_selector: {example.com/pool: gpu}
    tolerations: [{key: pool, value: gpu, effect: NoSchedule}]
    spot: true
    restarts: 10
    hosts: [a, b, c, c]
  evaluator: {}
tuning:
  metric: val_loss
  trials: 20
  parallel_trials: 2
  algorithm: random
  parameters:
    learning-rate: {minimum: 1e-4, maximum: 1E-2, scale: log}
    layers: {minimum: 2, maximum: 8, integer: true}
    optimizer: {values: [adam, sgd]}
kubernetes: {namespace: training, cloud: karpenter, image_pull_secrets: [key], keep_s: 60}
vertex: {project: my-project, location: europe-west4, web_access: true}
"""


def test_every_field_is_read() -> None:
    assert read(EVERYTHING) == JobSpec(
        name="everything",
        image="tfps:0.1.0",
        command=("python", "-m", "models.gpt_lm"),
        env={"SEED": "1"},
        labels={"team": "search"},
        port=3333,
        checkpoint_dir="/runs/one",
        timeout_s=3600,
        volumes={
            "runs": Volume(nfs=Nfs(server="10.0.0.9", path="/export/runs")),
            "words": Volume(gcs_bucket="my-words"),
            "fast": Volume(memory_gib=2.0),
        },
        mounts=(Mount(volume="runs", path="/runs"),),
        roles=Roles(
            chief=Role(cpu=0.5, memory_gib=2.0),
            ps=Role(replicas=2, machine_type="n2-highmem-8", disk_gib=100.0),
            worker=Role(
                replicas=4,
                minimum_replicas=2,
                cpu=8.0,
                memory_gib=32.0,
                gpus=1,
                gpu_type="nvidia-l4",
                image="tfps:0.1.0-gpu",
                command=("tfps", "task"),
                env={"TF_GPU_ALLOCATOR": "cuda_malloc_async"},
                ports={"profiler": 6009},
                mounts=(Mount(volume="words", path="/gcs/my-words", read_only=True),),
                node_selector={"example.com/pool": "gpu"},
                tolerations=(Toleration(key="pool", value="gpu", effect="NoSchedule"),),
                spot=True,
                restarts=10,
                hosts=("a", "b", "c", "c"),
            ),
            evaluator=Role(),
        ),
        tuning=Tuning(
            metric="val_loss",
            trials=20,
            parallel_trials=2,
            algorithm="random",
            parameters={
                "learning-rate": Hyperparameter(minimum=1e-4, maximum=1e-2, scale="log"),
                "layers": Hyperparameter(minimum=2.0, maximum=8.0, integer=True),
                "optimizer": Hyperparameter(values=("adam", "sgd")),
            },
        ),
        kubernetes=Kubernetes(
            namespace="training", cloud="karpenter", image_pull_secrets=("key",), keep_s=60
        ),
        vertex=Vertex(project="my-project", location="europe-west4", web_access=True),
    )


def test_the_least_that_a_file_needs() -> None:
    assert read(SMALL) == spec()


def test_anchors_and_merges_are_those_of_yaml() -> None:
    text = SMALL.replace("ps: {}", "ps: &large {cpu: 8, memory_gib: 64}").replace(
        "worker: {}", "worker: {<<: *large, cpu: 16}"
    )
    roles = read(text).roles
    assert (roles.ps, roles.worker) == (
        Role(cpu=8.0, memory_gib=64.0),
        Role(cpu=16.0, memory_gib=64.0),
    )


@pytest.mark.parametrize("value", ["2026-11-26", "12:30", "~x", "v1", "'5'"])
def test_what_looks_like_a_date_is_text(value: str) -> None:
    if value == "12:30":  # YAML 1.1 reads it as a number of base 60.
        with pytest.raises(JobSpecError, match="in quotes"):
            read(f"{SMALL}env: {{VALUE: {value}}}\n")
    else:
        assert read(f"{SMALL}env: {{VALUE: {value}}}\n").env["VALUE"] == value.strip("'")


@pytest.mark.parametrize("text", ["&a [*a]", "{a: &b {c: *b}}"])
def test_an_alias_of_itself_is_refused(text: str) -> None:
    with pytest.raises(JobSpecError, match="contains itself"):
        read(f"{SMALL}env: {text}\n")


def test_a_fault_below_a_merge_has_a_line() -> None:
    text = SMALL.replace("ps: {}", "ps: &large {cpu: none}").replace(
        "worker: {}", "worker: {<<: *large}"
    )
    job_file = JobFile(name="spec.yaml", text=text)
    with pytest.raises(JobSpecError) as raised:
        job_file.spec()
    assert [line.split(" ")[0] for line in job_file.located(raised.value.faults)] == [
        "spec.yaml:6:",
        "spec.yaml:6:",
    ]
