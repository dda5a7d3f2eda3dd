"""The parts of `benchmarks.lab` that need no root: shaping, plans, bounds, turns and tables."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.compare import contenders
from benchmarks.compare.cases import Chosen
from benchmarks.compare.contenders import ALL, Contender
from benchmarks.compare.driver import Patience, Plan
from benchmarks.compare.protocol import Answer
from benchmarks.compare.targets import NOT_RUN
from benchmarks.lab import bounds, network, place, plans, results, shaping, sitting, sizes
from benchmarks.lab.bounds import CEILING, Coded
from benchmarks.lab.place import Spot
from benchmarks.lab.shaping import UNLIMITED, Moved
from benchmarks.lab.sitting import Found, Turn
from tfps.cluster.tf_config import TFConfig

_LARGEST_PACKET_BYTES = 1 << 16
_DEVICES = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:       5       0    0    0    0     0          0         0        5       0    0    0
  eth0:     290       3    0    0    0     0          0         0       90       1    0    0
"""
_SPOTS = {
    name: Spot(address=shaping.address(number), namespace=f"/proc/1/task/{number}/ns/net")
    for number, name in enumerate(plans.task_names())
}


@pytest.mark.parametrize("rate_mbit", [1.0, 100.0, 1000.0, 10_000.0])
def test_a_bucket_holds_the_largest_packet_and_a_millisecond_of_the_rate(rate_mbit: float) -> None:
    words = shaping.shape("eth0", rate_mbit)

    settings = dict(zip(words[6::2], words[7::2], strict=True))
    burst, queue = (int(settings[name].removesuffix("b")) for name in ("burst", "limit"))
    assert settings["rate"] == f"{rate_mbit * 1e6:.0f}bit"
    assert burst >= max(_LARGEST_PACKET_BYTES + 1500, rate_mbit * 1e3 / 8)
    assert queue >= 4 * burst


def test_a_link_without_a_limit_has_no_queue() -> None:
    assert shaping.shape("eth0", UNLIMITED)[-2:] == ("root", "noqueue")


def test_counters_are_those_of_the_link_and_not_of_loopback() -> None:
    carried = shaping.read_counters(_DEVICES)

    assert carried == Moved(down_bytes=290, up_bytes=90)
    assert carried.since(Moved(down_bytes=90, up_bytes=90)) == Moved(down_bytes=200, up_bytes=0)
    with pytest.raises(LookupError, match="no device 'eth1'"):
        shaping.read_counters(_DEVICES, "eth1")


def test_the_machine_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    assert network.fault().startswith("network namespaces need root, and this is user 1000")
    monkeypatch.setattr(network.os, "geteuid", lambda: 0)
    monkeypatch.setattr(network.shutil, "which", lambda name: None if name == "tc" else name)
    assert network.fault() == "the command 'tc' was not found. Install the package iproute2."
    monkeypatch.setattr(network.sys, "platform", "darwin")
    assert network.fault().startswith("network namespaces are Linux's, and this is darwin")


def test_each_task_runs_in_its_namespace_as_tfps_local_would_start_it() -> None:
    told = Chosen(model="linear", steps=8)
    (command,) = plans.commands(ALL["tf_keras-x10"], told, Path("python"), _SPOTS, 1234)
    separator = command.index("--")
    program = command[separator + 1 :]

    started = place.processes(place.from_json(command[separator - 1]), program, {"HOME": "/"})

    assert [str(one.task) for one in started] == list(_SPOTS)
    for one, spot in zip(started, _SPOTS.values(), strict=True):
        assert one.command == ("nsenter", f"--net={spot.namespace}", "--", *program)
        config = TFConfig.from_environment(one.environment)
        assert config is not None
        assert config.cluster.address(one.task) == f"{spot.address}:1234"
    threads = {one.task.type: one.environment.get("TF_NUM_INTRAOP_THREADS") for one in started}
    assert threads == {"chief": None, "worker": "1", "ps": None}
    assert program == contenders.program(ALL["tf_keras-x10"], told, Path("python"))


def test_ranks_are_where_workers_are_and_meet_at_the_first() -> None:
    told = Chosen(model="linear", steps=8)

    first, second = plans.commands(ALL["torch-ddp"], told, Path("python"), _SPOTS, 1234)

    for rank, command in enumerate((first, second)):
        assert command[1] == f"--net={_SPOTS[f'worker {rank}'].namespace}"
        assert command[command.index("--host") + 1] == _SPOTS["worker 0"].address
        assert command[-2:] == ["--rank", str(rank)]


def test_the_environment_names_the_link_to_gloo_and_no_proxy() -> None:
    inherited = {"HTTPS_PROXY": "http://10.0.0.1", "grpc_proxy": "x", "HOME": "/"}

    found = plans.environment(ALL["torch-ddp"], inherited)

    assert found["GLOO_SOCKET_IFNAME"] == shaping.DEVICE
    assert found["HOME"] == "/"
    assert not {"HTTPS_PROXY", "grpc_proxy"} & set(found)


def test_turns_divide_the_longest_and_fill_a_dispatch_of_both_workers() -> None:
    for contender in ALL.values():
        steps = plans.steps_of(contender, 640)
        assert 640 % steps == 0
        assert steps >= 2 * contender.steps_per_execution
    assert plans.steps_of(ALL["torch-ddp"], 40) == 8
    assert plans.steps_of(ALL["tf_keras-x10"], 40) == 20
    assert plans.steps_of(ALL["tfps-topk-x10-buckets"], 40) == 40


def test_the_ceiling_sits_in_every_sitting_and_unknown_names_are_refused() -> None:
    assert all(CEILING in sitting for sitting in plans.sittings([]))
    with pytest.raises(ValueError, match="--contenders: mxnet is not among tfps-float32, "):
        plans.sittings(["mxnet"])


@pytest.mark.parametrize(
    ("step", "duplex", "busy_bytes"),
    [
        (Coded(pull=(2e6, 2e6), push=(1e6, 1e6)), False, 6e6),  # A worker's both, one by one.
        (Coded(pull=(2e6, 2e6), push=(1e6, 1e6)), True, 4e6),  # The larger of them.
        (Coded(pull=(3e6, 1e6), push=(1e6, 1e6)), True, 6e6),  # The larger ps, to 2 workers.
        (Coded(pull=(1e6, 0.0), push=(1e6, 4e6)), True, 8e6),
    ],
)
def test_the_busiest_link_bounds_the_steps(step: Coded, duplex: bool, busy_bytes: float) -> None:
    bytes_per_s = 100e6 / 8 * 1448 / 1514

    found = bounds.steps_per_s(step, 100, duplex=duplex)

    assert found == pytest.approx(2 * bytes_per_s / busy_bytes)
    assert math.isinf(bounds.steps_per_s(step, UNLIMITED, duplex=duplex))


def test_what_is_reached_is_over_the_lesser_of_link_and_ceiling() -> None:
    title = "encoder at 100 Mbit/s"
    duplex, plain = ALL["tfps-int8-x10-buckets"], ALL["tfps-int8-x10"]
    found = {
        duplex: Found(rounds={100.0: [_turn(2.0), None]}),
        plain: Found(rounds={100.0: [_turn(4.0), _turn(4.0)]}),
        ALL["tf_keras"]: Found(rounds={100.0: [_turn(1.0, counts=False)] * 2}),
    }
    rates = {CEILING: [100.0, 100.0]}

    rows = bounds.table(title, found, rates, 100.0, batch=16).as_records()

    # 4 steps a turn, 4 MB each way per step: 2 x 11.96 MB/s over 4 MB, and over 8 MB in sum.
    first, second = rows
    assert [row["contender"] for row in rows] == [duplex.name, plain.name]
    assert first["link"] == pytest.approx(2 * second["link"])
    assert first["link"] == pytest.approx(16 * 2 * 11.955 / 4, rel=1e-3)
    assert first["ratio"] == pytest.approx(16 * 4 / 2.0 / first["bound"])
    assert (first["reached"], second["reached"]) == (False, NOT_RUN)


def test_the_lesser_is_the_ceiling_where_the_link_is_fast() -> None:
    one = ALL["tfps-int8-x10"]

    (reached,) = bounds.reached(one, [_turn(2.0)], [40.0], 1e4, batch=16)

    assert reached.bound == 40.0 < reached.link


_SPEAKS = """
import sys
print("compare: {\\"parameters\\": 17}", flush=True)
for number, line in enumerate(sys.stdin):
    print("compare: {\\"steps\\": 4, \\"seconds\\": 0.5, \\"loss\\": %d}" % number, flush=True)
"""


class _Wires:
    """Counts 10 bytes more down each time it is looked at, and notes the rates."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self._down_bytes = 0

    def set_rate(self, rate_mbit: float) -> None:
        self.rates.append(rate_mbit)

    def counters(self) -> Mapping[str, Moved]:
        self._down_bytes += 10
        return {"worker 0": Moved(down_bytes=self._down_bytes, up_bytes=0)}


def test_contenders_learn_without_a_limit_and_take_turns_at_each_rate() -> None:
    command = [sys.executable, "-c", _SPEAKS]
    good = Plan(name="good", commands=[command], environment=dict(os.environ))
    absent = Plan(name="absent", commands=[], environment={}, fault="missing")
    wires = _Wires()

    found = asyncio.run(
        sitting.take_turns(
            [good, absent],
            wires,
            rates_mbit=[100.0, 10.0],
            rounds=2,
            learning_steps=lambda name: 9,
            least_memory_gib=0.0,
            patience=Patience(),
        )
    )

    assert wires.rates == [UNLIMITED, 100.0, 10.0]
    assert [answer.loss for answer in found["good"].learning] == [0, 1, 2]
    moved = [turn.links for turn in found["good"].rounds[10.0] if turn]
    assert moved == [{"worker 0": Moved(down_bytes=10, up_bytes=0)}] * 2
    assert found["absent"].fault == "missing"
    assert found["absent"].rounds == {100.0: [None, None], 10.0: [None, None]}


def test_the_loss_is_that_of_the_last_steps() -> None:
    learning = [Answer(steps=2, seconds=1.0, loss=loss) for loss in (9.0, 3.0, 1.0)]

    assert results.last_loss(Found(learning=learning), 4) == 2.0
    assert results.last_loss(Found(learning=learning), 2) == 1.0


def test_tables_hold_the_links_bytes_the_ratio_and_who_is_missing() -> None:
    told = Chosen(model="encoder", steps=4)
    learning = [Answer(steps=4, seconds=1.0, loss=loss) for loss in (0.7, 0.6)]
    quick = Found(rounds={100.0: [_turn(1.0)]}, learning=learning)
    slow = Found(rounds={100.0: [_turn(10.0, counts=False)]})
    found: dict[Contender, Found] = results.joined(
        [
            {ALL["tfps-topk-x10-buckets"]: quick, ALL["tf_keras"]: slow, CEILING: slow},
            {ALL["torch-ddp"]: Found(fault="missing"), CEILING: slow},
        ],
        [100.0],
        rounds=1,
    )

    whole = results.Results(chosen=told, rates_mbit=[100.0], found=found)

    assert len(found[CEILING].rounds[100.0]) == 2
    speeds, ratios, reached, losses, faults = (table.as_records() for table in whole.tables())
    assert [(row["MB down"], row["MB up"]) for row in speeds] == [(2.0, 1.0)] * 3
    assert (ratios[0]["median"], ratios[0]["target"], ratios[0]["reached"]) == (10.0, 8.0, True)
    assert reached[0]["bound"] == pytest.approx(6.4)
    assert [(row["examples"], row["loss"]) for row in losses] == [(8 * 16, 0.6)]
    assert faults == [{"contender": "torch-ddp", "why": "missing"}]
    assert set(whole.measured()["encoder at 100 Mbit/s"]) == {row["contender"] for row in speeds}
    (rounds,) = (table.as_records() for table in whole.rounds())
    assert rounds[0] == {"contender": "tfps-topk-x10-buckets", "1": 64.0, "2": NOT_RUN}


def test_sizes_vary_one_number_at_a_time() -> None:
    found = sizes.sizes([1, 2, 8], [1, 2])

    assert [(one.workers, one.ps) for one in found] == [(1, 2), (2, 2), (8, 2), (2, 1)]


def test_costs_are_of_a_step() -> None:
    links = {
        "chief 0": Moved(down_bytes=2_000, up_bytes=2_000, cpu_s=0.004),
        "worker 0": Moved(down_bytes=0, up_bytes=0, cpu_s=0.4),
        "ps 0": Moved(down_bytes=4_000_000, up_bytes=8_000_000, cpu_s=0.1),
        "ps 1": Moved(down_bytes=4_000_000, up_bytes=0, cpu_s=0.1),
    }
    turn = Turn(answer=_turn(2.0).answer, links=links)

    assert sizes.bytes_of_step([turn, turn]) == pytest.approx([4.0, 4.0, 4.0, 3.0, 1.0])
    assert sizes.cpu_ms_of_step([turn, turn]) == pytest.approx([50.0, 1.0, 100.0])


def test_tables_of_sizes_hold_what_was_measured_and_what_was_not() -> None:
    links = {name: Moved(down_bytes=1, up_bytes=1) for name in plans.task_names()}
    turn = Turn(answer=_turn(2.0).answer, links=links)
    found = {
        sizes.Size(workers=2, ps=2): Found(rounds={UNLIMITED: [turn, None]}),
        sizes.Size(workers=8, ps=2): Found(fault="not started", rounds={UNLIMITED: [None, None]}),
    }

    moved, computed, faults = sizes.tables(sizes.Arguments(), found)

    assert [row["pull MB"] for row in moved.as_records()] == [4.0]
    assert [row["median"] for row in computed.as_records()] == [32.0]
    assert faults.rows == [["workers: 8, ps: 2", "not started"]]


def _turn(seconds: float, *, counts: bool = True) -> Turn:
    """Return a turn of 4 steps, each of which pulls and pushes 2 MB from and to each of 2 ps."""
    moved = [8_000_000, 8_000_000] if counts else None
    answer = Answer(steps=4, seconds=seconds, loss=0.5, pull_bytes=moved, push_bytes=moved)
    worker = Moved(down_bytes=4_000_000, up_bytes=2_000_000)
    return Turn(answer=answer, links={"worker 0": worker, "worker 1": worker})
