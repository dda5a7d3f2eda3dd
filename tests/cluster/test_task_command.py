"""`tfps task`: the server of a worker or ps ends with its chief, without one, or on a signal."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.cluster.processes import Processes, program, until
from tfps.cli import main
from tfps.cluster import addresses, server
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig

pytestmark = pytest.mark.timeout(120)

WORKER = Task(type="worker", index=0)
PS = Task(type="ps", index=0)
CHIEF = Task(type="chief", index=0)


@pytest.fixture
def cluster() -> ClusterSpec:
    chief, worker, ps = (f"127.0.0.1:{port}" for port in addresses.free_ports(3))
    # An evaluator that runs no server must not keep the chief waiting.
    return ClusterSpec(chief=(chief,), worker=(worker,), ps=(ps,), evaluator=("127.0.0.1:1",))


def start_task(
    ours: Processes, cluster: ClusterSpec, task: Task, *, chief_timeout_s: float = 60
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tfps", "task", "--chief-timeout-s", str(chief_timeout_s)]
    return ours.start_task(command, cluster, task)


@pytest.mark.slow
def test_tasks_outlive_a_chief_that_fails_and_end_with_the_one_that_succeeds(
    ours: Processes, cluster: ClusterSpec
) -> None:
    served = [start_task(ours, cluster, WORKER), start_task(ours, cluster, PS)]
    assert ours.start_task(program("train.py", "fail"), cluster, CHIEF).wait(60) == 1
    assert "the training failed" in ours.err(2)
    assert [process.poll() for process in served] == [None, None]

    assert ours.start_task(program("train.py"), cluster, CHIEF).wait(60) == 0, ours.err(3)
    assert ours.out(3) == "steps: 20\n"
    assert "Failed to" not in ours.err(3)
    assert [process.wait(10) for process in served] == [0, 0]
    ours.until_gone()


@pytest.mark.slow
def test_a_chief_that_never_connects_ends_its_tasks_and_names_one_that_has_died(
    ours: Processes, cluster: ClusterSpec
) -> None:
    worker, ps = start_task(ours, cluster, WORKER), start_task(ours, cluster, PS)
    until(lambda: addresses.accepts_connections(cluster.ps[0]))
    until(lambda: addresses.accepts_connections(cluster.worker[0]))
    ps.kill()
    ps.wait(10)
    with socket.create_server(addresses.host_and_port(cluster.ps[0])) as impostor:
        # It accepts connections and never answers: worse than a task that is gone.
        chief = ours.start_task(program("train.py", "idle"), cluster, CHIEF)
        assert chief.wait(60) == 0, ours.err(2)
        assert impostor.fileno() >= 0
    assert f"could not tell ps 0 ({cluster.ps[0]})" in ours.err(2)
    assert worker.wait(10) == 0


def test_a_task_ends_when_its_chief_is_gone_but_not_for_a_gap(
    ours: Processes, cluster: ClusterSpec
) -> None:
    worker = start_task(ours, cluster, WORKER, chief_timeout_s=1.5)
    for _ in range(2):  # The chief comes, goes, comes again; each time the task calls.
        with socket.create_server(addresses.host_and_port(cluster.chief[0])) as chief:
            chief.settimeout(30)
            chief.accept()[0].close()
    assert worker.poll() is None
    assert worker.wait(30) == 1
    said = [line for line in ours.err().splitlines() if line.startswith("tfps: ")]
    assert said == [
        f"tfps: worker 0 ends: nothing has listened at the chief's address {cluster.chief[0]} "
        "for 1.5 s (--chief-timeout-s)."
    ]


@pytest.mark.slow
def test_a_task_whose_chief_never_comes_ends(ours: Processes, cluster: ClusterSpec) -> None:
    assert start_task(ours, cluster, PS, chief_timeout_s=0.5).wait(60) == 1
    assert "nothing has listened at the chief's address" in ours.err()


@pytest.mark.parametrize(
    ("task", "number", "code"),
    [
        # test_evaluator.py ends a ps in this way.
        pytest.param(WORKER, 15, 143, marks=pytest.mark.slow),
        (PS, 2, 130),
    ],
)
def test_a_signal_ends_a_task_within_five_seconds(
    task: Task, number: int, code: int, ours: Processes, cluster: ClusterSpec
) -> None:
    process = start_task(ours, cluster, task)
    until(lambda: addresses.accepts_connections(cluster.address(task)))
    process.send_signal(number)
    assert process.wait(5) == code
    assert "Traceback" not in ours.err()


def test_a_port_that_is_taken_is_an_error_with_the_address(
    cluster: ClusterSpec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, whose signals and environment stay as they are."""
    monkeypatch.setattr(server, "raise_on_signals", lambda: None)
    monkeypatch.setenv("GRPC_FAIL_FAST", "use_caller")
    monkeypatch.setenv("TF_CONFIG", TFConfig(cluster=cluster, task=PS).to_json())
    with socket.create_server(addresses.host_and_port(cluster.ps[0])):
        assert main(["task"]) == 1
    said = capsys.readouterr().err
    assert f"Could not start the server of ps 0 at {cluster.ps[0]}" in said
    assert "no other process has this port" in said
