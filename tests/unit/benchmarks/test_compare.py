"""The parts of `benchmarks.compare` that need no TensorFlow: messages, plans, ratios, turns."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare import cases, contenders, driver, protocol, results, targets
from benchmarks.compare.contenders import ALL, Contender
from benchmarks.compare.driver import Outcome, Patience, Plan, Round
from benchmarks.compare.protocol import Answer, Ready

_ANSWER = Answer(steps=4, seconds=2.0, loss=0.5, counted_bytes=8_000_000)
_STEPS = targets.Ratio(model="linear", of="tfps", over="tf_keras", at_least=5.0)


def test_a_message_is_found_in_its_line_and_other_output_is_not_one() -> None:
    assert protocol.from_line(protocol.to_line(_ANSWER) + "\n", Answer) == _ANSWER
    assert protocol.from_line("[worker:0] Epoch 1/5\n", Answer) is None


@pytest.mark.parametrize("line", ["compare: {", protocol.to_line(Ready(parameters=17))])
def test_another_message_than_expected_is_named_with_what_it_should_hold(line: str) -> None:
    with pytest.raises(ValueError, match="expected a JSON object with steps, seconds, loss"):
        protocol.from_line(line, Answer)


def test_processes_that_ran_together_took_as_long_as_the_slower() -> None:
    slower = Answer(steps=4, seconds=3.0, loss=1.5)

    whole = protocol.together([_ANSWER, slower])

    assert whole == Answer(steps=8, seconds=3.0, loss=1.0, counted_bytes=8_000_000)


def test_a_peer_that_is_not_installed_is_reported_with_what_to_install() -> None:
    assert "pip install 'torch>=2.13'" in contenders.missing(ALL["torch-ddp"], {"tf_keras": "2.21"})
    assert contenders.missing(ALL["torch-ddp"], {"torch": "2.13.0+cpu"}) == ""
    assert contenders.missing(ALL["tfps-float32"], {}) == ""


def test_an_interpreter_without_peers_has_no_versions_and_one_that_is_none_is_named() -> None:
    assert set(contenders.installed(Path(sys.executable))) <= set(contenders.REQUIREMENTS)
    with pytest.raises(RuntimeError, match="--peers-python: /nowhere/python does not run"):
        contenders.installed(Path("/nowhere/python"))


def test_all_contenders_compute_with_two_threads_in_as_many_processes_as_they_have() -> None:
    told = cases.Chosen(model="linear", steps=8)

    def started(name: str) -> tuple[list[list[str]], dict[str, str]]:
        inherited = {"TF_CONFIG": "{}", "OMP_NUM_THREADS": "9", "HOME": "/"}
        commands = contenders.commands(ALL[name], told, Path("python"), 1234)
        return commands, contenders.environment(ALL[name], inherited)

    (cluster,), of_cluster = started("tf_keras-x10")
    ranks, of_ranks = started("torch-ddp-bf16")
    (alone,), of_alone = started("keras-fit")
    assert cluster[cluster.index("--threads-per-worker") + 1] == "1"
    assert cluster[-2:] == ["--steps-per-execution", "10"]
    assert [rank[-3] for rank in ranks] == ["0", "1"]
    assert {"--steps", "8"} < set(alone)
    threads = [of.get("TF_NUM_INTRAOP_THREADS") for of in (of_cluster, of_ranks, of_alone)]
    assert threads == [None, "1", "2"]
    assert not any("TF_CONFIG" in of for of in (of_cluster, of_ranks, of_alone))


def test_peers_run_without_what_the_project_sets_for_its_own_tasks() -> None:
    assert "GLIBC_TUNABLES" not in contenders.environment(ALL["tfps-float32"], {})
    assert contenders.environment(ALL["tf_keras"], {})["GLIBC_TUNABLES"] == ""
    own = {"GLIBC_TUNABLES": "glibc.malloc.check=1"}
    assert contenders.environment(ALL["tf_keras"], own)["GLIBC_TUNABLES"] == own["GLIBC_TUNABLES"]


def test_who_takes_part_is_in_one_sitting_unless_the_default_has_more() -> None:
    names = ["ceiling", "keras-fit", "ceiling"]
    assert [[one.name for one in sat] for sat in contenders.sittings(names, "encoder")] == [
        ["ceiling", "keras-fit"]
    ]
    assert len(contenders.sittings([], "encoder")) == 2
    with pytest.raises(ValueError, match=r"--contenders: tfps is not among tfps-float32, "):
        contenders.sittings(["tfps"], "encoder")


@pytest.mark.parametrize("target", targets.RATIOS, ids=lambda t: f"{t.model}-{t.of}-{t.over}")
def test_the_default_contenders_can_reach_every_target(target: targets.Ratio) -> None:
    for sitting in contenders.sittings([], target.model):
        first, second, _ = targets.pair({one: [1.0] for one in sitting}, target)
        if first and second:
            return
    pytest.fail("No sitting has both.")


def test_a_ratio_is_taken_round_by_round_of_the_fastest_of_each_family() -> None:
    rates = _rates(tfps_float32=[10.0, 30.0, 12.0], tfps_int8=[1.0, 1.0, 1.0], tf_keras=[2.0, 3, 6])

    first, second, ratios = targets.pair(rates, _STEPS)

    assert first is ALL["tfps-float32"]
    assert second is ALL["tf_keras"]
    assert ratios == [5.0, 10.0, 2.0]
    assert targets.ratio_table("linear", {}).rows[0][2:] == ["-", "-", "-", 5.0, "-"]


def test_a_ratio_is_of_contenders_that_ran_in_the_same_rounds() -> None:
    rates = _rates(tfps_float32=[10.0, None], tfps_int8=[None, 99.0], tf_keras=[2.0, None])

    assert targets.pair(rates, _STEPS)[0] is ALL["tfps-float32"]


def test_sittings_follow_one_another_and_who_was_not_there_has_no_rounds() -> None:
    one, other = ALL["ceiling"], ALL["keras-fit"]
    found = Round(answer=_ANSWER, loopback_bytes=1)

    outcomes = results.joined(
        [
            {one: Outcome(parameters=17, rounds=[found, found])},
            {one: Outcome(fault="ended", rounds=[None, None]), other: Outcome(rounds=[found] * 2)},
        ],
        rounds=2,
    )

    assert outcomes[one] == Outcome(parameters=17, fault="ended", rounds=[found, found, None, None])
    assert outcomes[other].rounds == [None, None, found, found]


def test_tables_hold_rates_bytes_and_who_is_missing() -> None:
    told = cases.Chosen(model="recommender", rows=1000, steps=80)
    outcomes = {
        ALL["tfps-float32"]: Outcome(
            parameters=1000 * 16 + 100, rounds=[Round(answer=_ANSWER, loopback_bytes=9_000_000)]
        ),
        ALL["torch-ddp"]: Outcome(fault="missing: torch", rounds=[None]),
    }

    tables = results.Results(chosen=told, outcomes=outcomes).tables({})

    speeds, _, moved, faults = (table.as_records() for table in tables)
    assert [row["median"] for row in speeds] == [2 * 256]
    assert speeds[0]["loopback MB"] == 2.25
    needed = 8e-6 * (100 + 16 * told.case.unique_rows)
    assert moved[0]["counted MB"] == 2.0
    assert moved[0]["numbers MB"] == pytest.approx(needed)
    assert moved[0]["reached"] is False
    assert faults == [{"contender": "torch-ddp", "why": "missing: torch"}]


@pytest.mark.parametrize("model", list(cases.CASES))
def test_everyone_learns_from_the_same_batches(model: cases.ModelName) -> None:
    case = cases.CASES[model](1000)
    inputs, outputs = case.batches()

    assert inputs.shape[:2] == outputs.shape[:2] == (cases.POOL, case.batch)
    np.testing.assert_array_equal(inputs, case.batches()[0])
    if case.table is not None:
        rows, _ = case.table
        assert 0 <= inputs.min() <= inputs.max() < rows
        assert 1 < case.unique_rows < inputs[0].size


_SPEAKS = """
import sys
print("compare: {\\"parameters\\": 17}", flush=True)
for number, line in enumerate(sys.stdin):
    print("other output", flush=True)
    assert number < FAILS_AT, "it is over"
    print("compare: {\\"steps\\": 2, \\"seconds\\": 0.5, \\"loss\\": 1.0}", flush=True)
"""


def test_contenders_take_turns_and_one_that_fails_leaves_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    good, bad = _plan("good", "9", processes=2), _plan("bad", "2")
    absent = Plan(name="absent", commands=[], environment={}, fault="missing")

    outcomes = _take_turns([good, bad, absent])

    assert [one.answer.steps for one in outcomes["good"].rounds if one] == [4, 4, 4]
    assert [one is not None for one in outcomes["bad"].rounds] == [True, False, False]
    assert outcomes["bad"].fault == "ended with code 1"
    assert "AssertionError: it is over" in capsys.readouterr().err
    assert outcomes["absent"] == Outcome(rounds=[None] * 3, fault="missing")


def test_a_contender_that_says_nothing_is_ended_and_named_with_what_it_was_waited_for() -> None:
    silent = Plan(name="silent", commands=[["sleep", "600"]], environment=dict(os.environ))

    outcomes = _take_turns([silent], Patience(start_s=0.2, end_s=0.2))

    assert outcomes["silent"].fault == "waited 0.2 s until its model is made"


def test_nobody_is_started_without_memory() -> None:
    outcomes = _take_turns([_plan("good", "9")], least_memory_gib=1e6)

    assert outcomes["good"].fault.startswith("not started: ")


def _plan(name: str, fails_at: str, processes: int = 1) -> Plan:
    program = _SPEAKS.replace("FAILS_AT", fails_at)
    commands = [[sys.executable, "-c", program]] * processes
    return Plan(name=name, commands=commands, environment=dict(os.environ))


def _take_turns(
    plans: Sequence[Plan],
    patience: Patience | None = None,
    least_memory_gib: float = 0.0,
) -> dict[str, Outcome]:
    return asyncio.run(
        driver.take_turns(
            plans,
            rounds=3,
            least_memory_gib=least_memory_gib,
            patience=patience or Patience(),
        )
    )


def _rates(**rates: Sequence[float | None]) -> dict[Contender, Sequence[float | None]]:
    names = {"tfps_float32": "tfps-float32", "tfps_int8": "tfps-int8", "tf_keras": "tf_keras"}
    return {ALL[names[name]]: of_rounds for name, of_rounds in rates.items()}
