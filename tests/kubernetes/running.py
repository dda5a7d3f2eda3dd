"""Containers as processes on loopback, with ports instead of host names."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.kubernetes import dns
from tests.kubernetes.objects import Object
from tfps.cluster import addresses

_NOT_STARTED = 128
# In place of a function between fork and exec, for which all memory of this process, which is large
# once it has trained, would be copied for each container.
_ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
_ROOT = Path(__file__).parents[2]
_PASSED_ON = ("TFPS_TEST_SESSION", "TFPS_TEST_PROCESSES", "CUDA_VISIBLE_DEVICES")


class Network(Protocol):
    """Where pods run, and how they reach each other."""

    def started(self, pod: Object) -> str:
        """Make what a pod needs before its first process, and return its IP address."""

    def ended(self, pod: Object) -> None:
        """Undo `started`."""

    def command(
        self, pod: Object, command: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return what is to be started for a container's command and environment."""

    def listens(self, pod: Object, port: int) -> bool:
        """Return whether something listens at a port of a pod."""

    def update(self) -> None:
        """Take in that objects have changed."""

    def close(self) -> None:
        """Let go of everything."""


class Loopback:
    """All pods share this machine's loopback; each port of each pod is another one there.

    TensorFlow's server takes its port on all interfaces, so that pods on one machine cannot have
    the same. A name that DNS does not have leads to a port where nobody listens, until DNS has it.

    Args:
        names: The names that DNS has, and the host name of the pod behind each.
    """

    def __init__(self, names: Callable[[], dns.Names]) -> None:
        self._names = names
        self._ports: dict[tuple[str, str, int], int] = {}
        self._promised: dict[tuple[str, str, int], int] = {}

    def started(self, pod: Object) -> str:
        """Do nothing."""
        return "127.0.0.1"

    def ended(self, pod: Object) -> None:
        """Do nothing."""

    def update(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def listens(self, pod: Object, port: int) -> bool:
        """Return whether something listens at the pod's own port for this one."""
        own = self._port(pod["metadata"]["namespace"], dns.host_of(pod), port)
        return listens(("127.0.0.1", own))

    def command(
        self, pod: Object, command: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        """Put the ports of loopback in the place of the addresses in TF_CONFIG."""
        if "TF_CONFIG" not in environment:
            return command, environment
        config = json.loads(environment["TF_CONFIG"])
        namespace = pod["metadata"]["namespace"]
        config["cluster"] = {
            task_type: [self._local(address, namespace) for address in given]
            for task_type, given in config["cluster"].items()
        }
        return command, {**environment, "TF_CONFIG": json.dumps(config)}

    def _local(self, address: str, namespace: str) -> str:
        name, port = addresses.host_and_port(address)
        result = dns.resolve(self._names(), name, namespace)
        if result:
            return f"127.0.0.1:{self._port(namespace, result[0], port)}"
        if (namespace, name, port) not in self._promised:
            self._promised[namespace, name, port] = self._free()
        return f"127.0.0.1:{self._promised[namespace, name, port]}"

    def _port(self, namespace: str, host: str, port: int) -> int:
        key = (namespace, host, port)
        if key not in self._ports:
            self._ports[key] = self._promise(*key) or self._free()
        return self._ports[key]

    def _promise(self, namespace: str, host: str, port: int) -> int | None:
        """Return the port to which a name was led that is now this pod's."""
        known = self._names()
        for (asked_in, name, asked), promised in self._promised.items():
            if (asked_in, asked) == (namespace, port) and host in dns.resolve(
                known, name, asked_in
            ):
                return promised
        return None

    def _free(self) -> int:
        taken = {*self._ports.values(), *self._promised.values()}
        while (free := addresses.free_ports(1)[0]) in taken:
            pass
        return free


def image_environment() -> dict[str, str]:
    """Return the environment that an image of tfps would give: this interpreter and this code."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(_ROOT),
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    }


class Process:
    """The processes of one run of a container. The thread that starts it must outlive it."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        with log.open("wb") as output:
            if shutil.which(command[0], path=environment["PATH"]) is None:
                output.write(f"No such file or directory: {command[0]!r}\n".encode())
                output.flush()
                command = ["sh", "-c", f"exit {_NOT_STARTED}"]
            self._popen = subprocess.Popen(
                [*_ENDS_WITH_PARENT, *command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """Return the code as a container has it, or None while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        self._signal_all(signal.SIGKILL)  # A container ends with its first process.
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask the first process to end, as a container's stop does."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all processes, and wait for the first."""
        self._signal_all(signal.SIGKILL)
        self._popen.wait()

    def _signal_all(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)


def listens(address: tuple[str, int]) -> bool:
    """Return whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False
