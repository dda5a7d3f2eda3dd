"""How a container runs in network namespaces of this machine: each pod has its own IP address.

Names are those of /etc/hosts, which has what the cluster's DNS would have and nothing else; ports
are those of the manifest. It needs root.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.lab import network
from benchmarks.lab.place import inside
from tests.kubernetes import dns
from tests.kubernetes.objects import Object
from tests.kubernetes.running import listens

_ENTER = 'mount --bind "$1" /etc/hosts && hostname "$2" && shift 2 && exec "$@"'


class Namespaces:
    """A switch, and a link to it for each pod.

    Args:
        most_pods: How many pods there can be at a time.
        folder: Where files are kept.
        names: The names that DNS has, and the IP address of the pod behind each.
        at_door: Called with a function that makes sockets where a pod is: the API server listens
            there, too.
    """

    def __init__(
        self,
        most_pods: int,
        folder: Path,
        names: Callable[[], dns.Names],
        at_door: Callable[[network.Namespace], None],
    ) -> None:
        self._network = network.Network([str(number) for number in range(most_pods)])
        self._free = list(self._network.links.values())
        self._links: dict[str, network.Link] = {}
        self._folder = folder
        self._names = names
        for link in self._free:
            at_door(link.namespace)

    def started(self, pod: Object) -> str:
        """Give a pod a link; return its address."""
        link = self._links[pod["metadata"]["uid"]] = self._free.pop(0)
        return link.address

    def ended(self, pod: Object) -> None:
        """Take the link back."""
        link = self._links.pop(pod["metadata"]["uid"], None)
        if link is not None:
            self._free.append(link)

    def update(self) -> None:
        """Write what DNS now has."""
        for namespace in {path.name for path in self._folder.glob("hosts/*")}:
            self._write(namespace)

    def command(
        self, pod: Object, command: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        """Start it on the pod's link, with the pod's host name and names."""
        link = self._links[pod["metadata"]["uid"]]
        hosts = self._write(pod["metadata"]["namespace"])
        own = [
            "unshare",
            "--mount",
            "--uts",
            "sh",
            "-c",
            _ENTER,
            "sh",
            str(hosts),
            dns.host_of(pod),
        ]
        return inside(link.namespace.path, [*own, *command]), environment

    def listens(self, pod: Object, port: int) -> bool:
        """Return whether a port of a pod answers there."""
        link = self._links[pod["metadata"]["uid"]]
        return link.namespace.submit(listens, (link.address, port)).result()

    def close(self) -> None:
        """Let go of the network."""
        self._network.close()

    def _write(self, namespace: str) -> Path:
        path = self._folder / "hosts" / namespace
        path.parent.mkdir(exist_ok=True)
        text = "127.0.0.1 localhost\n" + dns.hosts_file(self._names(), namespace)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)  # In place: it is mounted in pods that run.
        return path


def fault() -> str:
    """Say why there can be no namespaces here; nothing if there can."""
    network_fault = network.fault()
    if network_fault:
        return network_fault
    tried = subprocess.run(
        ["unshare", "--mount", "--uts", "true"], capture_output=True, check=False
    )
    return tried.stderr.decode().strip()
