from __future__ import annotations

import os
import shutil
import socket

import pytest

from benchmarks import traffic

_LISTING = (
    'LISTEN 0 4096 *:10161 *:* users:(("python",pid=654,fd=6)) bbr cwnd:10\n'
    "ESTAB 0 0 [::ffff:127.0.0.1]:10161 [::ffff:127.0.0.1]:48188 "
    'users:(("python",pid=654,fd=8)) bbr bytes_sent:40058 bytes_retrans:145 '
    "bytes_acked:39913 bytes_received:2674090 segs_out:1002\n"
    "ESTAB 0 0 127.0.0.1:37166 127.0.0.1:11704 "
    'users:(("python",pid=654,fd=9)) bbr bytes_sent:10 bytes_acked:11 bytes_received:7\n'
    "ESTAB 0 0 127.0.0.1:11704 127.0.0.1:37166 "
    'users:(("python",pid=700,fd=9)) bbr\n'
    "TIME-WAIT 0 0 127.0.0.1:5000 127.0.0.1:5001 timer:(timewait,1min,0)\n"
)


def test_a_process_has_the_bytes_of_all_its_connections_without_those_sent_again() -> None:
    found = traffic.parse(_LISTING)

    assert traffic.of_processes([654, 700], found) == [
        traffic.Traffic(received_bytes=2674097, sent_bytes=39924),
        traffic.Traffic(received_bytes=0, sent_bytes=0),
    ]


def test_sockets_of_no_known_process_are_left_out() -> None:
    assert {socket.pid for socket in traffic.parse(_LISTING)} == {654, 700}


def test_only_what_listens_at_an_address_is_found_there() -> None:
    found = traffic.parse(_LISTING)

    assert traffic.listeners(["127.0.0.1:10161"], found) == [654]
    with pytest.raises(LookupError, match=r"127\.0\.0\.1:11704.*\[10161\]"):
        traffic.listeners(["127.0.0.1:11704"], found)


def test_traffic_since_is_the_difference() -> None:
    before = traffic.Traffic(received_bytes=10, sent_bytes=1)
    after = traffic.Traffic(received_bytes=15, sent_bytes=3)

    assert after.since(before) == traffic.Traffic(received_bytes=5, sent_bytes=2)


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss, of iproute2")
def test_bytes_sent_to_a_listening_process_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                pids = traffic.listeners([address], traffic.sockets())
                assert pids == [os.getpid()]
                before = traffic.of_processes(pids, traffic.sockets())[0]
                client.sendall(bytes(100_000))
                _receive(accepted, 100_000)
                after = traffic.of_processes(pids, traffic.sockets())[0]

    # Servers that other tests started in this process may say a word meanwhile.
    moved = after.since(before)
    assert 100_000 <= moved.received_bytes < 110_000
    assert 100_000 <= moved.sent_bytes < 110_000


def _receive(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(size))
