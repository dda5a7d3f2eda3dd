"""The tasks of a trial, rendered for Vertex AI and started as Vertex AI does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.processes import PROGRAMS, Processes, processes
from tests.unit.jobs.specs import spec
from tfps.cluster import addresses
from tfps.jobs.platforms import Hyperparameter, Tuning
from tfps.jobs.vertex.render import render

TASK_TYPES = ("chief", "worker", "ps")
SEARCH = spec(
    command=(sys.executable, str(PROGRAMS / "trial.py")),
    checkpoint_dir="gs://bucket/search/",
    tuning=Tuning(
        metric="val_loss",
        parameters={"learning_rate": Hyperparameter(minimum=0.001, maximum=0.5, scale="log")},
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "variable", ["TF_CONFIG", pytest.param("CLUSTER_SPEC", marks=pytest.mark.slow)]
)
def test_a_trial_trains_and_reports(variable: str, tmp_path: Path) -> None:
    (document,) = render(SEARCH).documents
    pools = document["trialJobSpec"]["workerPoolSpecs"]
    hosts = [[f"127.0.0.1:{port}"] for port in addresses.free_ports(len(pools))]
    metrics = tmp_path / "hypertune" / "output.metrics"
    variables = {"CLOUD_ML_TRIAL_ID": "5", "CLOUD_ML_HP_METRIC_FILE": str(metrics)}
    with processes(tmp_path) as ours:
        started = [
            start(ours, pool, {**variables, variable: cluster_variable(variable, hosts, index)})
            for index, pool in enumerate(pools)
        ]
        assert [process.wait(60) for process in started] == [0, 0, 0], ours.err(0)
        assert ours.out(0) == "gs://bucket/search/5\n"
        ours.until_gone()
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [(line["trial"], line["global_step"]) for line in lines] == [
        ("5", "1"),
        ("5", "2"),
        ("5", "3"),
    ]
    losses = [float(line["val_loss"]) for line in lines]
    assert losses[2] < losses[0]


def start(
    ours: Processes, pool: dict[str, Any], variables: dict[str, str]
) -> subprocess.Popen[bytes]:
    container = pool["containerSpec"]
    own = {entry["name"]: entry["value"] for entry in container["env"]}
    command = [*container["command"], *container["args"], "--learning_rate=0.1"]
    return ours.start(command, environment={**own, **variables})


def cluster_variable(variable: str, hosts: list[list[str]], pool: int) -> str:
    """Write what Vertex AI sets for the first task of a pool, as its documentation has it."""
    names = TASK_TYPES if variable == "TF_CONFIG" else [f"workerpool{i}" for i in range(len(hosts))]
    content = {
        "cluster": dict(zip(names, hosts, strict=True)),
        "environment": "cloud",
        "task": {"type": names[pool], "index": 0, "trial": "5"},
        "job": "{}",
    }
    return json.dumps(content)
