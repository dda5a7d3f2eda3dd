"""Which part of a script a task runs; the other side of it is in tests/cluster."""

from __future__ import annotations

import json

import pytest

from tfps.cluster import rendezvous, run
from tfps.cluster.spec import ClusterSpec
from tfps.errors import ClusterTimeoutError, TaskTypeError, TFConfigError

CLUSTER = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace what reaches other tasks, and record the order of calls."""
    calls: list[str] = []

    def wait_for_tasks(spec: ClusterSpec, *, timeout_s: float) -> None:
        calls.append(f"waited up to {timeout_s:g} s for {len(spec.serving())}")

    monkeypatch.setattr(rendezvous, "wait_for_tasks", wait_for_tasks)

    def end_job(spec: ClusterSpec, has_evaluate: bool, evaluator_timeout_s: float) -> None:
        expected = "expected" if has_evaluate else "not expected"
        calls.append(f"evaluators {expected}, for {evaluator_timeout_s:g} s")
        calls.append(f"told {len(spec.serving())}")

    monkeypatch.setattr(run, "_end_job", end_job)
    return calls


@pytest.fixture
def as_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_without_tf_config_the_function_runs(told: list[str]) -> None:
    assert run.run(lambda: 7) == 7
    assert told == []


@pytest.mark.usefixtures("as_chief")
def test_the_chief_waits_trains_and_tells_the_others(told: list[str]) -> None:
    assert run.run(lambda: told.append("trained"), start_timeout_s=9) is None
    evaluators = "evaluators not expected, for 600 s"
    assert told == ["waited up to 9 s for 2", "trained", evaluators, "told 2"]


@pytest.mark.usefixtures("as_chief")
def test_the_chief_does_not_evaluate_but_waits_for_who_does(told: list[str]) -> None:
    def evaluate() -> run.Evaluator:
        raise AssertionError("called on the chief")

    run.run(lambda: None, evaluate, evaluator_timeout_s=7)
    assert "evaluators expected, for 7 s" in told


@pytest.mark.usefixtures("as_chief")
def test_a_chief_that_fails_tells_nobody(told: list[str]) -> None:
    def fail() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        run.run(fail)
    assert told == ["waited up to 600 s for 2"]


@pytest.mark.usefixtures("as_chief")
@pytest.mark.parametrize(("code", "ends"), [(None, True), (0, True), (3, False), ("no", False)])
def test_an_exit_within_training_is_its_normal_end_only_with_code_0(
    code: object, ends: bool, told: list[str]
) -> None:
    def leave() -> None:
        raise SystemExit(code)

    with pytest.raises(SystemExit):
        run.run(leave)
    assert ("told 2" in told) is ends


@pytest.mark.usefixtures("as_chief")
def test_training_does_not_start_when_tasks_are_missing(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_out(spec: ClusterSpec, *, timeout_s: float) -> None:
        raise ClusterTimeoutError("ps 0")

    monkeypatch.setattr(rendezvous, "wait_for_tasks", time_out)
    with pytest.raises(ClusterTimeoutError):
        run.run(lambda: told.append("trained"))
    assert told == []


def test_an_evaluator_without_a_function_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = {"cluster": CLUSTER, "task": {"type": "evaluator", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(TaskTypeError, match=r"evaluator 0 has nothing to run.*run\(train, evalu"):
        run.run(lambda: None)


def test_a_faulty_tf_config_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{'")
    with pytest.raises(TFConfigError, match="is not JSON"):
        run.run(lambda: None)
