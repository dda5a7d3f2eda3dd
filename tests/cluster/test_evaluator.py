"""An evaluator beside real processes: it evaluates what a chief saves, and ends with the job."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import tfps
from tests.cluster.conftest import MakeStrategy
from tests.cluster.processes import Processes, program, until
from tests.unit.evaluator.trained import X, Y, evaluate, make, save
from tfps.cluster import addresses, evaluators
from tfps.cluster.evaluators import Presence, wait_for_evaluators
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.errors import ChiefGoneError, TaskTypeError
from tfps.evaluator import record

pytestmark = pytest.mark.timeout(180)

CHIEF, WORKER, PS, EVALUATOR = (
    Task(type=task_type, index=0) for task_type in ("chief", "worker", "ps", "evaluator")
)
# What a chief says on a machine so slow that it has to wait for the other tasks.
WAITING = ("tfps: waiting for ", "tfps: the training is over; waiting for evaluator 0")
TASK_COMMAND = [sys.executable, "-m", "tfps", "task"]


@pytest.fixture
def cluster() -> ClusterSpec:
    """A cluster as Vertex AI describes it: without the evaluator."""
    chief, worker, ps = (f"127.0.0.1:{port}" for port in addresses.free_ports(3))
    return ClusterSpec(chief=(chief,), worker=(worker,), ps=(ps,))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chief and evaluator in this process look for each other more often than in a job."""
    monkeypatch.setattr(evaluators, "_EVERY_S", 0.1)


@pytest.mark.slow
def test_an_evaluator_outlives_a_failing_chief_and_ends_after_the_last_checkpoint(
    ours: Processes, cluster: ClusterSpec, tmp_path: Path
) -> None:
    def run(*arguments: str) -> list[str]:
        return program("evaluated.py", str(tmp_path), *arguments)

    served = [ours.start_task(TASK_COMMAND, cluster, task) for task in (WORKER, PS)]
    evaluator = ours.start_task(run("0"), cluster, EVALUATOR)
    assert ours.start_task(run("0", "fail"), cluster, CHIEF).wait(120) == 1
    until(lambda: ours.out(2).count("step") == 2, deadline_s=60)
    assert evaluator.poll() is None

    assert ours.start_task(run("2"), cluster, CHIEF).wait(120) == 0, ours.err(4)
    assert evaluator.wait(10) == 0, ours.err(2)
    assert [process.wait(10) for process in served] == [0, 0]
    losses = [float(loss) for chief in (3, 4) for loss in ours.out(chief).split()]
    lines = ours.out(2).splitlines()
    found = [float(re.search(r"loss (\S+)", line).group(1)) for line in lines]
    assert found == pytest.approx(losses, rel=1e-4)
    names = [re.search(r"\((epoch-\d)\.weights", line).group(1) for line in lines]
    assert names == ["epoch-1", "epoch-2", "epoch-3", "epoch-4"]
    assert (tmp_path / "best.weights.h5").exists()
    assert "Traceback" not in ours.err(2)
    ours.until_gone()


def test_checkpoints_of_sharded_models_are_evaluated(
    make_strategy: MakeStrategy, tmp_path: Path
) -> None:
    with make_strategy(2).scope():
        trained = make()
    trained.fit(X, Y, batch_size=8, verbose=0)
    expected = pytest.approx(evaluate(trained), rel=1e-5)
    alone, initial = make(), make().get_weights()
    for number, name in enumerate(["a.weights.h5", "a.keras", "a"]):
        alone.set_weights(initial)
        place, log_dir = tmp_path / f"run-{number}", tmp_path / f"logs-{number}"
        save(trained, place / name)
        tfps.SidecarEvaluator(alone, (X, Y), place, log_dir=log_dir, poll_s=0).start(lambda: True)
        (evaluated,) = record.read(str(log_dir)).evaluated
        assert (name, evaluated.step) == (name, 1)
        assert evaluated.results == expected, name


def test_tfps_local_starts_an_evaluator(ours: Processes, tmp_path: Path) -> None:
    size = ("--ps", "1", "--workers", "1", "--evaluators", "1", "--threads-per-worker", "1")
    command = [sys.executable, "-m", "tfps", "local", *size, "--"]
    launcher = ours.start([*command, *program("evaluated.py", str(tmp_path), "0")])
    assert launcher.wait(120) == 0, ours.err()
    said = re.findall(r"^\[evaluator:0\] step \d+: loss \S+ \((\S+?)[,)]", ours.out(), re.MULTILINE)
    assert said == ["epoch-1.weights.h5", "epoch-2.weights.h5"]
    of_the_chief = [line for line in ours.out().splitlines() if not line.startswith("[")]
    assert [len(line.split()) for line in of_the_chief] == [2], of_the_chief  # Its two losses.
    assert "Failed to" not in ours.err()
    # The chief's own, from TensorFlow's import.
    lines = [line for line in ours.err().splitlines() if not line.startswith(WAITING)]
    assert len(lines) < 10, lines
    assert not [line for line in lines if line.startswith("[") or "tfps" in line], lines
    ours.until_gone()


def test_an_evaluator_cannot_take_the_chiefs_place(
    cluster: ClusterSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", TFConfig(cluster=cluster, task=EVALUATOR).to_json())
    with pytest.raises(TaskTypeError, match="evaluator 0 is no part of the cluster"):
        tfps.ParameterServerStrategy()


def test_sigterm_ends_an_evaluator_at_once(
    ours: Processes, cluster: ClusterSpec, tmp_path: Path
) -> None:
    evaluator = ours.start_task(program("evaluated.py", str(tmp_path), "0"), cluster, EVALUATOR)
    until(lambda: (tmp_path / "logs").exists(), deadline_s=60)
    evaluator.terminate()
    assert evaluator.wait(5) == 143
    assert "Traceback" not in ours.err()


@pytest.fixture
def ps(ours: Processes, cluster: ClusterSpec) -> subprocess.Popen[bytes]:
    return start_ps(ours, cluster)


def start_ps(ours: Processes, cluster: ClusterSpec) -> subprocess.Popen[bytes]:
    started = ours.start_task(TASK_COMMAND, cluster, PS)
    until(lambda: addresses.accepts_connections(cluster.ps[0]), deadline_s=60)
    return started


def presence(cluster: ClusterSpec, *, chief_timeout_s: float = 60) -> Presence:
    config = TFConfig(cluster=cluster, task=EVALUATOR)
    return Presence(config, chief_timeout_s=chief_timeout_s)


@pytest.mark.slow
def test_the_chief_waits_for_an_evaluator_though_the_ps_was_replaced(
    ours: Processes,
    cluster: ClusterSpec,
    ps: subprocess.Popen[bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = threading.Event()

    def end() -> None:
        wait_for_evaluators(cluster, expected=[EVALUATOR], timeout_s=60, report_every_s=0)
        ended.set()

    with presence(cluster) as evaluator:
        assert not evaluator.is_over()
        ps.kill()
        ps.wait(10)
        start_ps(ours, cluster)
        chief = threading.Thread(target=end)
        chief.start()
        until(evaluator.is_over)
        assert not ended.is_set()
    chief.join(20)
    assert ended.is_set()
    assert "the training is over; waiting for evaluator 0\n" in capsys.readouterr().err


def test_the_chief_waits_only_for_evaluators_that_live(
    cluster: ClusterSpec,
    ps: subprocess.Popen[bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait_for_evaluators(cluster)  # There is none.
    with presence(cluster) as evaluator:
        wait_for_evaluators(cluster, expected=[EVALUATOR], timeout_s=0.5)
        assert evaluator.is_over()
    assert "the job ends without evaluator 0; to wait longer, set" in capsys.readouterr().err
    wait_for_evaluators(cluster, timeout_s=60)  # It has left.
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(evaluators, "SILENT_AFTER_S", 0.5)
    lost = Task(type="evaluator", index=1)
    wait_for_evaluators(cluster, expected=[lost], timeout_s=60)
    assert "the job ends without evaluator 1, silent for 0.5 s" in capsys.readouterr().err
    # With a connection of an evaluator's and of a chief's behind it.
    ps.terminate()
    assert ps.wait(5) == 143


def test_a_ps_that_does_not_answer_does_not_hold_up_the_chief(
    cluster: ClusterSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluators, "_CALL_TIMEOUT_S", 0.5)
    wait_for_evaluators(cluster, timeout_s=60)
    with socket.create_server(addresses.host_and_port(cluster.ps[0])):
        wait_for_evaluators(cluster, timeout_s=60)


def test_an_evaluator_whose_chief_is_gone_ends_but_not_for_a_gap(cluster: ClusterSpec) -> None:
    def is_gone() -> bool:
        try:
            return evaluator.is_over()
        except ChiefGoneError as error:
            said.append(str(error))
            return True

    said: list[str] = []
    with presence(cluster, chief_timeout_s=1.5) as evaluator:
        for _ in range(2):  # The chief comes, goes, comes again; each time the evaluator calls.
            with socket.create_server(addresses.host_and_port(cluster.chief[0])) as chief:
                chief.settimeout(30)
                chief.accept()[0].close()
        assert not evaluator.is_over()
        until(is_gone)
    assert said == [
        f"nothing has listened at the chief's address {cluster.chief[0]} for 1.5 s "
        "(chief_timeout_s)."
    ]
