"""A cluster on this machine: API server, controllers, kubelet. It stands in for a real one.

    with cluster(tmp_path) as kubernetes:
        os.environ["KUBECONFIG"] = kubernetes.kubeconfig
        ...

Pods run as processes, with the command and the environment of their manifest.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from tests.cluster.processes import until
from tests.kubernetes import dns, simulator
from tests.kubernetes.api import ADMIN, Api, How
from tests.kubernetes.controllers import garbage, stateful_sets
from tests.kubernetes.controllers.clock import Clock
from tests.kubernetes.controllers.job_sets import JobSets
from tests.kubernetes.controllers.jobs import Jobs
from tests.kubernetes.controllers.tf_jobs import TFJobs
from tests.kubernetes.kinds import (
    BUILT_IN,
    CUSTOM,
    JOB,
    JOB_SET,
    NAMESPACE,
    POD,
    SERVICE,
    STATEFUL_SET,
    TF_JOB,
    Kind,
    kind_of,
)
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.namespaces import Namespaces
from tests.kubernetes.nodes import Node
from tests.kubernetes.objects import Object, is_true, owner_uids
from tests.kubernetes.running import Loopback, Network
from tests.kubernetes.server import Server
from tests.kubernetes.store import Key, Store, key_of

_TICK_S = 0.03
_PACE = 50.0


class Cluster:
    """What tests have of the cluster."""

    def __init__(
        self,
        folder: Path,
        *,
        pace: float = _PACE,
        custom: Sequence[Kind] = CUSTOM,
        images: Sequence[str] | None = None,
        most_pods_with_addresses: int = 0,
    ) -> None:
        self.folder = folder
        self.store = Store()
        self.api = Api(self.store, (*BUILT_IN, *custom))
        clock = Clock(pace)
        kubeconfigs = _Kubeconfigs(folder)
        self.server = Server(self.api, lambda key, query: self.kubelet.logs(key, query))
        kubeconfigs.server = self.server.address
        network: Network = Loopback(self._future_names)
        if most_pods_with_addresses:
            network = Namespaces(
                most_pods_with_addresses,
                folder,
                self._names,
                lambda there: self.server.listen(
                    lambda address: there.submit(socket.create_server, address).result()
                ),
            )
        self.kubelet = Kubelet(
            self.store, clock, network, folder, images=images, kubeconfig=kubeconfigs
        )
        self.kubeconfigs: Mapping[str, str] = kubeconfigs
        self._steps: list[Callable[[], None]] = [
            lambda: stateful_sets.reconcile(self.store),
            JobSets(self.store, clock).reconcile,
            TFJobs(self.store, clock).reconcile,
            Jobs(self.store, clock).reconcile,
            lambda: garbage.reconcile(self.store),
            self.kubelet.reconcile,
        ]
        self._closing = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._control, daemon=True)
        self.namespace("default")
        self._thread.start()

    @property
    def kubeconfig(self) -> str:
        """The path of the configuration by which clients reach the cluster as its administrator."""
        return self.kubeconfigs[ADMIN]

    def namespace(self, name: str) -> None:
        """Make a namespace."""
        self.store.create(
            NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )

    def apply(self, *documents: Object) -> None:
        """Make objects, as `kubectl apply` would."""
        for document in documents:
            kind = kind_of(document, self.api.kinds)
            assert kind is not None, document["kind"]
            self.api.apply(key_of(kind, document), document, How(manager="test"))

    def get(self, kind: Kind, name: str, namespace: str = "default") -> Object | None:
        """Return an object, or None."""
        return self.store.find(Key(kind, namespace, name))

    def pods(self, **labels: str) -> list[Object]:
        """Return the pods with labels, e.g. `component="worker"` of those that tfps sets."""
        wanted = {f"app.kubernetes.io/{name}": value for name, value in labels.items()}
        return [
            pod
            for pod in self.store.list(POD)
            if wanted.items() <= (pod["metadata"].get("labels") or {}).items()
        ]

    def log(self, pod: Object) -> str:
        """Return what the container of a pod has written since it was last started."""
        return b"".join(self.kubelet.logs(key_of(POD, pod), {})).decode()

    def logs(self) -> str:
        """Return the output of all containers that ever ran, for a test that fails."""
        files = sorted(self.folder.glob("*/*.log"))
        return "\n".join(
            f"--- {file.parent.name} {file.name}\n{file.read_text()}" for file in files
        )

    def until(self, condition: Callable[[], object], *, deadline_s: float = 60.0) -> None:
        """Wait until something holds; fail with the output of all containers when it does not."""

        def holds() -> object:
            if self._failure is not None:
                raise self._failure
            return condition()

        try:
            until(holds, deadline_s=deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; the containers said\n{self.logs()}") from None

    def lose_node(self, name: str) -> None:
        """Take a node away with its pods, as a cloud does with a spot node."""
        self.kubelet.nodes = [node for node in self.kubelet.nodes if node.name != name]
        for pod in self.store.list(POD):
            if pod["spec"].get("nodeName") == name:
                key = key_of(POD, pod)
                self.api.disrupt(key, "DeletionByTaintManager", "Taint manager: deleting")
                self.store.delete(key)

    def add_node(self, node: Node) -> None:
        """Add a node."""
        self.kubelet.nodes = [*self.kubelet.nodes, node]

    def close(self) -> None:
        """End everything."""
        self._closing.set()
        self._thread.join()
        self.server.close()
        if self._failure is not None:
            raise self._failure

    def _control(self) -> None:
        # One thread does all, so that nothing races; it lives as long as the pods' processes.
        version = 0
        try:
            while not self._closing.is_set():
                version = self.store.version
                for step in self._steps:
                    step()
                self.store.wait(version, _TICK_S)
        except Exception as error:
            self._failure = error
        finally:
            self.kubelet.close()

    def _names(self) -> dns.Names:
        """Return the names that DNS has, each with the addresses of pods."""
        pods = [
            pod
            for pod in self.store.list(POD)
            if pod.get("status", {}).get("podIP")
            and pod["status"]["phase"] in ("Pending", "Running")
        ]
        return dns.names(
            pods,
            self.store.list(SERVICE),
            is_ready=lambda pod: is_true(pod, "Ready"),
            key=lambda pod: str(pod["status"]["podIP"]),
        )

    def _future_names(self) -> dns.Names:
        """Return the names of all pods that will be made of the objects, with their host names."""
        documents = [
            obj
            for kind in (POD, SERVICE, STATEFUL_SET, JOB, JOB_SET, TF_JOB)
            for obj in self.store.list(kind)
            if not owner_uids(obj)
        ]
        return dns.names(simulator.pods(documents), simulator.services(documents), key=dns.host_of)


class _Kubeconfigs(dict[str, str]):
    """For each user the path of a configuration; it is written when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.server = ""
        self._folder = folder

    def __missing__(self, user: str) -> str:
        path = self._folder / f"kubeconfig-{len(self)}"
        is_account = user.startswith("system:serviceaccount:")
        namespace = user.split(":")[2] if is_account else "default"
        named = {"cluster": "stand-in", "user": user, "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.server}}],
            "users": [{"name": user, "user": {} if user == ADMIN else {"token": user}}],
            "contexts": [{"name": "stand-in", "context": named}],
        }
        path.write_text(yaml.safe_dump(content))
        self[user] = str(path)
        return self[user]


@contextlib.contextmanager
def cluster(folder: Path, **how: object) -> Iterator[Cluster]:
    """Run a cluster; end it, with all its processes, with the block."""
    created = Cluster(folder, **how)  # type: ignore[arg-type]
    try:
        yield created
    finally:
        created.close()
