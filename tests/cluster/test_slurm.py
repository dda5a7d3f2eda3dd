"""The script for Slurm on a real Slurm: a job trains, ends with its chief, and can be cancelled."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster import slurm_cluster
from tests.cluster.processes import program, until
from tfps.jobs.role import Role
from tfps.jobs.slurm import script
from tfps.jobs.spec import JobSpec, Roles

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        bool(slurm_cluster.missing()),
        reason=f"needs Slurm (Debian's slurm-wlm): no {', '.join(slurm_cluster.missing())}",
    ),
]

GO = "touch go-$SLURM_JOB_NAME"
UNTIL_GO = "until [ -e go-$SLURM_JOB_NAME ]; do sleep 0.1; done"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_cluster.Slurm]:
    with slurm_cluster.slurm(tmp_path_factory.mktemp("slurm")) as ours:
        yield ours


def job(name: str, *, restarts: int = 0, **scripts: str) -> str:
    """Return the script of a small job whose roles run shell scripts."""
    roles = {
        kind: Role(
            command=("sh", "-c", scripts.get(kind, "exec sleep 600")),
            memory_gib=0.1,
            restarts=restarts,
            replicas=2 if kind == "worker" else 1,
        )
        for kind in ("chief", "worker", "ps")
    }
    return script(JobSpec(name=name, roles=Roles(**roles)))


def test_a_job_trains_on_nodes_of_different_kinds(slurm: slurm_cluster.Slurm) -> None:
    roles = Roles(
        chief=Role(memory_gib=1),
        ps=Role(replicas=2, memory_gib=1),
        worker=Role(replicas=2, cpu=2, memory_gib=1, gpus=1, gpu_type="odd"),
    )
    number = slurm.submit(
        script(JobSpec(name="train", command=tuple(program("train.py")), roles=roles))
    )
    state = slurm.until_over(number, deadline_s=150)
    assert state == ("COMPLETED", "0:0"), slurm.log(f"train-{number}.log")
    assert "steps: 20\n" in slurm.log(f"train-{number}.log")
    until(slurm.idle)


def test_each_task_knows_itself_and_the_same_cluster(slurm: slurm_cluster.Slurm) -> None:
    say = 'echo "$TF_CONFIG"'
    scripts = {"chief": f"{say}; {GO}", "worker": f"{say}; {UNTIL_GO}", "ps": UNTIL_GO}
    number = slurm.submit(job("told", **scripts))
    assert slurm.until_over(number)[0] == "COMPLETED"
    chief = slurm.log(f"told-{number}.log").splitlines()[0]
    host, first = os.uname().nodename, 2222 + int(number) * 20
    cluster = (
        f'{{"chief": ["{host}:{first}"], "worker": ["{host}:{first + 1}", "{host}:{first + 2}"], '
        f'"ps": ["{host}:{first + 3}"]}}'
    )
    assert chief == f'{{"cluster": {cluster}, "task": {{"type": "chief", "index": 0}}}}'
    for index in range(2):
        own = f'{{"type": "worker", "index": {index}}}'
        log = slurm.log(f"told-{number}-worker-{index}.log")
        assert log.startswith(f'{{"cluster": {cluster}, "task": {own}}}\n')


@pytest.mark.parametrize("code", [7, 2])
def test_a_job_ends_with_its_chiefs_code(code: int, slurm: slurm_cluster.Slurm) -> None:
    number = slurm.submit(job("bad", chief=f"echo again; exit {code}", restarts=1))
    assert slurm.until_over(number) == ("FAILED", f"{code}:0")
    # Started wrongly, a task would be started wrongly again.
    assert slurm.log(f"bad-{number}.log").count("again") == (1 if code == 2 else 2)
    until(slurm.idle)


def test_a_worker_that_fails_is_started_again(slurm: slurm_cluster.Slurm) -> None:
    worker = (
        f'[ "$SLURM_PROCID" = 0 ] && {{ {UNTIL_GO}; exit; }}; [ -e seen ] && {GO} && exit; '
        "touch seen; kill -9 $$"
    )
    number = slurm.submit(job("again", chief=UNTIL_GO, worker=worker, ps=UNTIL_GO, restarts=1))
    assert slurm.until_over(number) == ("COMPLETED", "0:0")
    assert "ended with code 137; restart 1 of 1" in slurm.log(f"again-{number}-worker-1.log")


def test_a_worker_that_fails_for_good_ends_the_job(slurm: slurm_cluster.Slurm) -> None:
    number = slurm.submit(job("lost", worker="exit 5"))
    assert slurm.until_over(number) == ("FAILED", "1:0")
    assert "tfps: a task has failed." in slurm.log(f"lost-{number}.log")
    until(slurm.idle)


def test_scancel_ends_all_tasks(slurm: slurm_cluster.Slurm) -> None:
    number = slurm.submit(job("ended", ps="echo here; exec sleep 600", restarts=3))
    until(lambda: "here" in slurm.log(f"ended-{number}-ps-0.log"))
    slurm.cancel(number)
    assert slurm.until_over(number)[0] == "CANCELLED"
    until(slurm.idle)
