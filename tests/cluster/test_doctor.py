"""`tfps doctor` with real processes: what it finds, how it ends, and what it withstands."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab import network, place
from tests.cluster.processes import Processes, program, until
from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec, Task

pytestmark = pytest.mark.timeout(120)

CHIEF = Task(type="chief", index=0)
WORKER, OTHER_WORKER = (Task(type="worker", index=index) for index in range(2))
PS = Task(type="ps", index=0)
EVALUATOR = Task(type="evaluator", index=0)
DOCTOR = (sys.executable, "-m", "tfps", "doctor")
# A clock that is 100 s ahead.
AHEAD = (
    "import sys, time; real = time.time; time.time = lambda: real() + 100; "
    "from tfps.cli import main; sys.exit(main(sys.argv[1:]))"
)
AHEAD_DOCTOR = (sys.executable, "-c", AHEAD, "doctor")
HASTY_DOCTOR = tuple(program("hasty_doctor.py"))
# A name that cannot be, so that nobody is asked for it.
NOWHERE = f"{'x' * 64}:1"
DEADLINE_S = 60


def framed(content: str) -> bytes:
    return struct.pack(">I", len(content)) + content.encode()


NONSENSE = (
    b"",
    b"\0\0",
    bytes(range(256)),
    b"GET / HTTP/1.1\r\n\r\n",
    struct.pack(">I", (1 << 20) + 1) + bytes(1000),
    struct.pack(">I", 1000) + b"{",
    framed("[" * 100_000),
    framed('{"doctor": 2, "ask": "facts"}'),
    framed('{"doctor": 1}'),
    framed('{"doctor": 1, "ask": ["end"]}'),
    framed('{"doctor": 1, "ask": "reach", "tasks": "all"}'),
    framed('{"doctor": 1, "ask": "pull", "task": {"type": "ps", "index": 99}}'),
    framed('{"doctor": 1, "ask": "report", "facts": {}}'),
    framed('{"doctor": 1, "ask": "give"}'),
)


@pytest.fixture
def cluster() -> ClusterSpec:
    chief, *workers, ps = (f"127.0.0.1:{port}" for port in addresses.free_ports(4))
    return ClusterSpec(chief=(chief,), worker=tuple(workers), ps=(ps,))


def start(
    ours: Processes,
    cluster: ClusterSpec,
    task: Task,
    *arguments: str,
    command: tuple[str, ...] = DOCTOR,
    **environment: str,
) -> subprocess.Popen[bytes]:
    """Start the doctor on a task; the report is JSON."""
    return ours.start_task([*command, "-o", "json", *arguments], cluster, task, **environment)


def report_of(ours: Processes, number: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(ours.out(number))
    return content


def levels(report: dict[str, Any], *checks: str) -> set[str]:
    return {one["level"] for one in report["findings"] if one["check"] in checks}


def told(report: dict[str, Any], check: str) -> str:
    """Return what a check says that is not well."""
    found = [one for one in report["findings"] if one["check"] == check and one["level"] != "ok"]
    return "; ".join(one["says"] for one in found)


def older_keras(folder: Path) -> str:
    """Return a folder for PYTHONPATH in which Keras says that it is older."""
    metadata = folder / "older" / "keras-3.14.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: keras\nVersion: 3.14.0\n")
    return str(metadata.parents[1])


def test_a_job_on_this_machine_is_measured_and_ends(ours: Processes) -> None:
    size = ("--ps", "2", "--workers", "2")
    doctor = (*DOCTOR, "--firewalled", "-o", "json")
    launcher = ours.start([sys.executable, "-m", "tfps", "local", *size, "--", *doctor])
    code = launcher.wait(DEADLINE_S)
    report = report_of(ours, 0)
    assert code == (1 if report["level"] == "red" else 0), ours.err()
    assert list(report["tasks"]) == ["chief 0", "worker 0", "worker 1", "ps 0", "ps 1"]
    assert levels(report, "tasks", "TF_CONFIG", "ports", "reachability", "versions") == {"ok"}
    assert levels(report, "clock") == {"ok"}
    assert len(report["links"]) == 2 * (4 + 4)
    assert all(link["bytes_per_s"] > 0 and link["round_trip_s"] > 0 for link in report["links"])
    assert "[ps:1] tfps doctor: ps 1 answers at 127.0.0.1:" in ours.err()
    ours.until_gone()


def test_the_tables_are_plain_in_a_pipe_and_links_can_be_left_out(ours: Processes) -> None:
    size = ("--ps", "1", "--workers", "2")
    doctor = (*DOCTOR, "--max-links", "1")
    ours.start([sys.executable, "-m", "tfps", "local", *size, "--", *doctor]).wait(DEADLINE_S)
    lines = ours.out().splitlines()
    assert "\x1b" not in ours.out()
    assert len([line for line in lines if " - ps 0 " in line and "bit/s" in line]) == 1
    assert "left out: worker 1 - ps 0, chief 0 - ps 0" in " ".join(ours.out().split())
    assert lines[-1].startswith("result: ")


def test_a_sick_job_is_told_what_is_wrong(
    ours: Processes, cluster: ClusterSpec, tmp_path: Path
) -> None:
    unresolved = dataclasses.replace(cluster, worker=(*cluster.worker, NOWHERE))
    with socket.create_server(addresses.host_and_port(cluster.ps[0])):
        served = [
            start(ours, unresolved, WORKER, PYTHONPATH=older_keras(tmp_path)),
            start(ours, unresolved, OTHER_WORKER, "--path", "/no", command=AHEAD_DOCTOR),
            start(ours, unresolved, PS),
        ]
        until(lambda: all(addresses.accepts_connections(address) for address in cluster.worker))
        chief = start(ours, unresolved, CHIEF, "--timeout-s", "4", command=HASTY_DOCTOR)
        assert chief.wait(DEADLINE_S) == 1
    assert [process.wait(10) for process in served] == [0, 0, 0]
    report = report_of(ours, 3)
    assert report["level"] == "red"
    assert told(report, "tasks") == f"worker 2 ({NOWHERE}): the name does not resolve"
    assert f"(pid {os.getpid()}) has port" in told(report, "ports")
    assert "3.14.0 on worker 0" in told(report, "versions")
    assert "worker 1 +100 s" in told(report, "clock")
    assert "/no of worker 1 (No such file or directory)" in told(report, "disk")
    assert f"waiting: worker 2 ({NOWHERE}): the name does not resolve" in ours.err(3)
    assert f"ps 0 cannot listen at {cluster.ps[0]}" in ours.err(2)


def test_a_chief_that_cannot_listen_says_so_and_still_reports(
    ours: Processes, cluster: ClusterSpec
) -> None:
    with socket.create_server(addresses.host_and_port(cluster.chief[0])):
        served = [start(ours, cluster, task) for task in (WORKER, OTHER_WORKER, PS)]
        assert start(ours, cluster, CHIEF).wait(DEADLINE_S) == 1
        assert [process.wait(10) for process in served] == [0, 0, 0]
    report = report_of(ours, 3)
    assert levels(report, "ports") == {"red"}
    assert levels(report, "tasks", "reachability") == {"ok"}
    # In both directions between workers and ps, and to the chief.
    assert len(report["links"]) == 2 * 2 + 3


def test_who_sits_at_the_address_of_another_task_is_named(
    ours: Processes, cluster: ClusterSpec
) -> None:
    mixed_up = dataclasses.replace(cluster, worker=cluster.worker[::-1])
    served = [start(ours, cluster, PS), start(ours, mixed_up, WORKER)]
    with socket.create_server(addresses.host_and_port(cluster.worker[0])) as mute:
        chief = start(ours, cluster, CHIEF, "--timeout-s", "20", command=HASTY_DOCTOR)
        assert chief.wait(DEADLINE_S) == 1
        assert mute.fileno() >= 0
    assert [process.wait(10) for process in served] == [0, 0]
    says = told(report_of(ours, 2), "tasks")
    assert f"worker 1 ({cluster.worker[1]}): worker 0 answers there" in says
    assert "no tfps doctor answers there: it leaves 'ping' without an answer" in says


@pytest.mark.slow
def test_a_task_that_only_calls_is_found_by_its_call(ours: Processes, cluster: ClusterSpec) -> None:
    elsewhere = f"127.0.0.1:{addresses.free_ports(1)[0]}"
    moved = dataclasses.replace(cluster, worker=(cluster.worker[0], elsewhere))
    served = [
        start(ours, cluster, WORKER),
        start(ours, moved, OTHER_WORKER),
        start(ours, cluster, PS),
    ]
    assert start(ours, cluster, CHIEF).wait(DEADLINE_S) == 1
    assert [process.wait(10) for process in served] == [0, 0, 0]
    report = report_of(ours, 3)
    assert told(report, "TF_CONFIG") == "cluster.worker of worker 1 is not that of the chief"
    assert "it calls the chief; called by the chief: connection refused" in told(report, "tasks")


@pytest.mark.slow
def test_a_chief_that_is_killed_can_come_again(ours: Processes, cluster: ClusterSpec) -> None:
    served = [start(ours, cluster, task) for task in (WORKER, PS)]
    waiting = start(ours, cluster, CHIEF)
    until(lambda: "worker 1" in ours.err(2))
    waiting.kill()
    waiting.wait(10)
    assert [process.poll() for process in served] == [None, None]
    start(ours, cluster, OTHER_WORKER)
    assert start(ours, cluster, CHIEF, "--firewalled").wait(DEADLINE_S) in (0, 1)
    assert levels(report_of(ours, 4), "tasks", "reachability") == {"ok"}
    assert [process.wait(10) for process in served] == [0, 0]
    ours.until_gone()


def test_a_signal_to_the_chief_ends_the_tasks_too(ours: Processes, cluster: ClusterSpec) -> None:
    served = [start(ours, cluster, task) for task in (WORKER, PS)]
    until(lambda: all(map(addresses.accepts_connections, (cluster.worker[0], cluster.ps[0]))))
    chief = start(ours, cluster, CHIEF, command=HASTY_DOCTOR)
    # Meanwhile the tasks, which call every half a second, have found the chief.
    until(lambda: ours.err(2).count("waiting: worker 1") >= 5)
    chief.terminate()
    assert chief.wait(10) == 128 + signal.SIGTERM
    assert [process.wait(10) for process in served] == [0, 0]
    assert ours.out(2) == ""
    assert "Traceback" not in ours.err(2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_task(number: int, ours: Processes, cluster: ClusterSpec) -> None:
    process = start(ours, cluster, PS)
    until(lambda: addresses.accepts_connections(cluster.ps[0]))
    process.send_signal(number)
    assert process.wait(5) == 128 + number
    assert "Traceback" not in ours.err()


def test_a_task_whose_chief_never_comes_ends(ours: Processes, cluster: ClusterSpec) -> None:
    assert start(ours, cluster, WORKER, "--timeout-s", "0.5").wait(DEADLINE_S) == 1
    assert f"worker 0 ends: nothing was heard of the chief ({cluster.chief[0]})" in ours.err()


def test_a_mute_stranger_at_the_chiefs_address_is_no_chief(
    ours: Processes, cluster: ClusterSpec
) -> None:
    with socket.create_server(addresses.host_and_port(cluster.chief[0])):
        assert start(ours, cluster, WORKER, "--timeout-s", "0.5").wait(DEADLINE_S) == 1
    assert "nothing was heard of the chief" in ours.err()


def test_an_evaluator_that_is_listed_takes_part(ours: Processes, cluster: ClusterSpec) -> None:
    (address,) = (f"127.0.0.1:{port}" for port in addresses.free_ports(1))
    listed = dataclasses.replace(cluster, evaluator=(address,))
    for task in (WORKER, OTHER_WORKER, PS, EVALUATOR):
        start(ours, listed, task)
    start(ours, listed, CHIEF).wait(DEADLINE_S)
    report = report_of(ours, 4)
    assert "evaluator 0" in report["tasks"]
    assert levels(report, "tasks", "versions", "clock") == {"ok"}
    ours.until_gone()


def test_an_evaluator_that_is_not_listed_checks_itself(
    ours: Processes, cluster: ClusterSpec
) -> None:
    start(ours, cluster, EVALUATOR).wait(DEADLINE_S)
    report = report_of(ours, 0)
    assert list(report["tasks"]) == ["evaluator 0"]
    assert levels(report, "versions") == {"ok"}
    assert levels(report, "tasks", "reachability") == set()


def test_nonsense_at_the_port_changes_nothing(ours: Processes, cluster: ClusterSpec) -> None:
    served = [start(ours, cluster, task) for task in (WORKER, OTHER_WORKER, PS)]
    until(lambda: all(addresses.accepts_connections(at) for at in (*cluster.worker, *cluster.ps)))
    with contextlib.ExitStack() as stack:
        for content in NONSENSE:
            end = socket.create_connection(addresses.host_and_port(cluster.ps[0]), timeout=5)
            stack.enter_context(end)
            with contextlib.suppress(OSError):
                end.sendall(content)
        chief = start(ours, cluster, CHIEF, "--firewalled")
        assert chief.wait(DEADLINE_S) in (0, 1)
    assert [process.wait(10) for process in served] == [0, 0, 0]
    assert "Traceback" not in ours.err(2)
    report = report_of(ours, 3)
    assert levels(report, "tasks", "reachability") == {"ok"}
    assert len(report["links"]) == 2 * (2 + 3)


@pytest.mark.root
def test_a_slow_link_is_told_with_its_task(ours: Processes) -> None:
    with network.Network(["chief 0", "worker 0", "worker 1", "ps 0", "ps 1"]) as lab:
        lab.set_rate(2000.0)
        lab.links["worker 1"].set_rate(100.0)
        places = [
            place.Place(
                type=name.split()[0],
                index=int(name.split()[1]),
                address=f"{spot.address}:2222",
                namespace=spot.namespace,
            )
            for name, spot in lab.spots().items()
        ]
        launcher = [sys.executable, "-m", "benchmarks.lab.place", place.to_json(places)]
        ours.start([*launcher, "--", *DOCTOR, "-o", "json"]).wait(DEADLINE_S)
    report = report_of(ours, 0)
    assert told(report, "bandwidth").startswith("below 100 Mbit/s: 6 links, all of worker 1: ")
    assert levels(report, "bandwidth") == {"warn"}
    assert levels(report, "tasks", "reachability", "exposure") == {"ok"}
    ours.until_gone()
