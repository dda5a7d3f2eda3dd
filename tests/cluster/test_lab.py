"""`benchmarks.lab` on this machine: links carry their rate, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.lab import measured_rate, network, shaping

pytestmark = pytest.mark.root

_ROOT = Path(__file__).parents[2]
_ATTEMPTS = 8
_HOLDS = """
import signal, subprocess, sys
from benchmarks.lab import network
from benchmarks.lab.place import inside
from tfps.cluster.processes import guard

links = network.Network(["worker 0", "ps 0"])
for link in links.links.values():
    command = inside(link.namespace.path, ["sleep", "600"])
    subprocess.Popen(command, preexec_fn=guard.die_with_parent)
print(*(link.namespace.inode for link in links.links.values()), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("rate_mbit", [100.0, 1000.0])
def test_a_link_carries_its_rate_in_both_directions(rate_mbit: float) -> None:
    with network.Network(["worker 0", "ps 0", "ps 1"]) as links:
        links.set_rate(rate_mbit)
        worker, ps, _ = links.links.values()
        found = [measured_rate.measure(worker, ps, duration_s=0.5) for _ in range(_ATTEMPTS)]

    # Others may have the cores for a moment, but no link is ever faster than its rate.
    possible = shaping.payload_mbit(rate_mbit)
    assert max(one.there for one in found) == pytest.approx(possible, rel=0.1)
    assert max(one.back for one in found) == pytest.approx(possible, rel=0.1)
    assert max(one.both for one in found) == pytest.approx(possible, rel=0.1)


def test_counters_tell_the_links_and_their_directions_apart() -> None:
    with network.Network(["worker 0", "ps 0", "ps 1"]) as links:
        links.set_rate(100.0)
        before = links.counters()
        worker, ps, _ = links.links.values()
        measured_rate.measure(worker, ps, duration_s=0.1)
        moved = {name: now.since(before[name]) for name, now in links.counters().items()}

    assert moved["worker 0"].up_bytes > 1e6
    assert moved["ps 0"].down_bytes == pytest.approx(moved["worker 0"].up_bytes, rel=0.01)
    assert moved["ps 0"].up_bytes == pytest.approx(moved["worker 0"].down_bytes, rel=0.01)
    assert moved["ps 1"].down_bytes + moved["ps 1"].up_bytes < 1e4


def test_what_the_kernel_refuses_is_an_error_with_the_command() -> None:
    with (
        network.Network(["worker 0"]) as links,
        pytest.raises(network.NetworkError, match=r"'ip link set eth7 up' failed: .*eth7"),
    ):
        links.links["worker 0"].namespace.command("ip", "link", "set", "eth7", "up")


def test_nothing_stays_when_the_one_that_made_it_is_killed() -> None:
    devices = _devices()
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS], cwd=_ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        inodes = {int(word) for word in holder.stdout.readline().split()}
        assert len(inodes) == 2
        _wait_until(lambda: _namespaces() >= inodes)
        assert _devices() == devices
        holder.kill()

    _wait_until(lambda: not _namespaces() & inodes)
    assert _devices() == devices


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lab_that_is_ended_leaves_no_process(tmp_path: Path, number: int) -> None:
    before = _namespaces()
    command = [*_lab("tfps-float32-x10"), "--json", str(tmp_path / "lab.json")]
    with subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True) as lab:
        assert lab.stderr is not None
        for line in lab.stderr:
            if "starts" in line:
                break
        # A chief, 2 workers and 2 ps, each in its own.
        _wait_until(lambda: len(_namespaces() - before) >= 5)
        os.kill(lab.pid, number)
        lab.stderr.read()

    assert lab.returncode == (-number if number == signal.SIGKILL else 128 + number)
    _wait_until(lambda: not _namespaces() - before)


@pytest.mark.slow
def test_contenders_train_on_links_of_a_rate(tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    options = ["--rounds", "1", "--steps", "40", "--learning-steps", "80", "--json", str(file)]

    subprocess.run([*_lab("tfps-float32-x10-overlap", "ceiling"), *options], cwd=_ROOT, check=True)

    links, speeds, bound, losses, *_ = json.loads(file.read_text())["tables"]
    assert links["rows"][0]["worker to ps"] == pytest.approx(95.6, rel=0.1)
    trained, computed = speeds["rows"]
    assert trained["counted MB"] < trained["MB down"] + trained["MB up"]
    assert computed["MB down"] + computed["MB up"] < 1e-3
    assert bound["rows"][0]["contender"] == "tfps-float32-x10-overlap"
    assert losses["rows"][0]["examples"] == 80 * 32


def _lab(*contenders: str) -> list[str]:
    told = ["--model", "linear", "--rates-mbit", "100", "--least-memory-gib", "0"]
    return [sys.executable, "-m", "benchmarks.lab", *told, "--contenders", *contenders]


def _devices() -> str:
    shown = subprocess.run(["ip", "-brief", "link"], check=True, capture_output=True, text=True)
    return shown.stdout


def _namespaces() -> set[int]:
    """Return the numbers of the network namespaces that any process is in."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(link.stat().st_ino)
        except OSError:
            continue  # It has ended.
    return found


def _wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
