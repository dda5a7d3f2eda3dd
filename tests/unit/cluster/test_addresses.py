"""Addresses: their form, free ports, and whether one answers."""

from __future__ import annotations

import socket

import pytest

from tfps.cluster import addresses


@pytest.mark.parametrize(
    "address", ["localhost:1", "10.0.0.3:2222", "worker-0.job.svc:65535", "[::1]:2222"]
)
def test_a_host_and_a_port_are_an_address(address: str) -> None:
    assert addresses.address_fault(address) is None


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("host", "'host' has no port. Write it as host:port, e.g. 'host:2222'."),
        ("::1", "has no port. Write it as host:port, e.g. '[::1]:2222'."),
        ("[::1]", "has no port"),
        ("host:", "has the port '', which is not a number"),
        ("host:http", "has the port 'http', which is not a number"),
        ("host:-1", "has the port '-1', which is not a number"),
        ("host:²", "has the port '²', which is not a number"),
        ("host:0", "has the port 0, which is out of range"),
        ("host:65536", "has the port 65536, which is out of range"),
        (":2222", "has no valid host name"),
        ("my host:2222", "has no valid host name"),
        ("host:2222/path", "has no valid host name"),
        ("grpc://host:2222", "has a scheme. Write only host and port: 'host:2222'."),
        (2222, "2222 is not text"),
        (None, "None is not text"),
    ],
)
def test_a_faulty_address_is_explained(address: object, fault: str) -> None:
    assert fault in (addresses.address_fault(address) or "")


def test_host_and_port_are_split_and_brackets_removed() -> None:
    assert addresses.host_and_port("host:22") == ("host", 22)
    assert addresses.host_and_port("[::1]:22") == ("::1", 22)


def test_splitting_a_faulty_address_raises() -> None:
    with pytest.raises(ValueError, match="has no port"):
        addresses.host_and_port("host")


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = addresses.free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_taken_port_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        (free,) = addresses.free_ports(1)
        monkeypatch.setattr(addresses, "_ports_for_listening", lambda: [taken, free])
        assert addresses.free_ports(1) == (free,)
        with pytest.raises(OSError, match=r"Found 1 free ports on .*, but 2 are"):
            addresses.free_ports(2)


def test_a_listener_answers_and_an_unused_port_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert addresses.accepts_connections(address)
    assert not addresses.accepts_connections(address)


def test_a_name_that_does_not_resolve_does_not_answer() -> None:
    assert not addresses.accepts_connections("no-such-host.invalid:2222")
