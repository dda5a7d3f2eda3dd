"""The chief waits for its tasks by name, and its own address answers meanwhile."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.cluster.processes import until
from tfps.cluster import addresses, rendezvous
from tfps.cluster.rendezvous import wait_for_tasks
from tfps.cluster.spec import ClusterSpec
from tfps.errors import ClusterTimeoutError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def spec() -> ClusterSpec:
    chief, worker0, worker1, ps = (f"127.0.0.1:{port}" for port in addresses.free_ports(4))
    return ClusterSpec(
        chief=(chief,), worker=(worker0, worker1), ps=(ps,), evaluator=("no-such-host:1",)
    )


def listen(address: str) -> socket.socket:
    return socket.create_server(addresses.host_and_port(address))


def test_the_wait_is_over_when_every_worker_and_ps_listens(spec: ClusterSpec) -> None:
    with listen(spec.worker[0]), listen(spec.worker[1]), listen(spec.ps[0]):
        wait_for_tasks(spec, timeout_s=10)


def test_missing_tasks_are_named_while_waiting_and_in_the_error(
    spec: ClusterSpec, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendezvous, "_PROBE_EVERY_S", 0.05)
    missing = f"worker 1 ({spec.worker[1]}), ps 0 ({spec.ps[0]})"
    with (
        listen(spec.worker[0]),
        pytest.raises(ClusterTimeoutError) as caught,
    ):
        wait_for_tasks(spec, timeout_s=0.8, report_every_s=0.1)
    assert f"Waited 0.8 s for {missing}. Check" in str(caught.value)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert set(lines) == {f"tfps: waiting for {missing}"}


def test_nothing_is_said_when_nobody_is_missing(
    spec: ClusterSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    with listen(spec.worker[0]), listen(spec.worker[1]), listen(spec.ps[0]):
        wait_for_tasks(spec, timeout_s=10, report_every_s=0)
    assert capsys.readouterr().err == ""


def test_tasks_that_come_late_are_found_and_see_the_chief_meanwhile(spec: ClusterSpec) -> None:
    waiting = threading.Thread(target=wait_for_tasks, args=(spec,), kwargs={"timeout_s": 30})
    with listen(spec.worker[0]), listen(spec.worker[1]):
        waiting.start()
        until(lambda: addresses.accepts_connections(spec.chief[0]))
        assert waiting.is_alive()
        with listen(spec.ps[0]):
            waiting.join(30)
    assert not waiting.is_alive()
    with listen(spec.chief[0]):  # Its address is free for TensorFlow's own server.
        pass
