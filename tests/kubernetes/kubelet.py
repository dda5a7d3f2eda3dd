"""The kubelet and the scheduler: they run pods as processes and update the pods' status."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.kubernetes import nodes, pod_status
from tests.kubernetes.controllers.clock import Clock
from tests.kubernetes.environment import command, environment
from tests.kubernetes.kinds import POD, SERVICE_ACCOUNT
from tests.kubernetes.nodes import Node
from tests.kubernetes.objects import Object, is_going, name_of, set_condition
from tests.kubernetes.running import Network, Process, image_environment
from tests.kubernetes.store import Key, Store, key_of

_FIRST_BACKOFF_S = 10.0
_LONGEST_BACKOFF_S = 300.0


@dataclasses.dataclass
class Run:
    """A pod on its node, with its one container."""

    pod: Object
    folder: Path
    address: str = ""
    process: Process | None = None
    restarts: int = 0
    last_exit: int | None = None
    is_ready: bool = False
    is_told_to_end: bool = False

    @property
    def container(self) -> Object:
        """The container's part of the pod's spec."""
        [container] = self.pod["spec"]["containers"]
        return container  # type: ignore[no-any-return]

    def log(self, restart: int) -> Path:
        """Return the file of the output of one start of the container."""
        return self.folder / f"{restart}.log"


class Kubelet:
    """Runs all pods of a store. `reconcile` must always be called by the same thread."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        network: Network,
        folder: Path,
        *,
        images: Sequence[str] | None,
        kubeconfig: Mapping[str, str],
    ) -> None:
        self.nodes: list[Node] = [Node(name="node-0")]
        self._store = store
        self._clock = clock
        self._network = network
        self._folder = folder
        self._images = images
        self._kubeconfig = kubeconfig
        self._runs: dict[str, Run] = {}

    def reconcile(self) -> None:
        """Bring every pod a step further."""
        self._network.update()
        pods = {pod["metadata"]["uid"]: pod for pod in self._store.list(POD)}
        for uid in set(self._runs) - set(pods):
            self._stop(uid)
        for uid, pod in pods.items():
            if is_going(pod):
                self._end(uid, pod)
            elif "nodeName" not in pod["spec"]:
                self._schedule(pod)
            elif pod["status"]["phase"] in ("Pending", "Running"):
                self._run(uid, pod)

    def close(self) -> None:
        """End all processes."""
        for uid in list(self._runs):
            self._stop(uid)
        self._network.close()

    def logs(self, key: Key, query: Mapping[str, str]) -> Iterator[bytes]:
        """Iterate over the output of a pod's container."""
        pod = self._store.get(key)
        run = self._runs.get(pod["metadata"]["uid"])
        if run is None:
            return
        previous = query.get("previous") in ("true", "1")
        restart = run.restarts - 1 if previous else run.restarts
        position, version = 0, 0
        while True:
            over = not self._is_running(run, restart)
            data = run.log(restart).read_bytes() if run.log(restart).exists() else b""
            if data[position:]:
                yield data[position:]
                position = len(data)
            if over or query.get("follow") not in ("true", "1"):
                return
            version = self._store.wait(version, 0.05)

    def _is_running(self, run: Run, restart: int) -> bool:
        return run.process is not None and run.restarts == restart and self._is_current(run)

    def _is_current(self, run: Run) -> bool:
        return self._runs.get(run.pod["metadata"]["uid"]) is run

    def _schedule(self, pod: Object) -> None:
        node = nodes.fitting(pod, self.nodes)
        message = "" if node else nodes.refusal(pod, self.nodes)

        def edit(obj: Object) -> None:
            obj.setdefault("status", {})["phase"] = "Pending"
            if node is None:
                set_condition(obj, "PodScheduled", False, "Unschedulable", message)
            else:
                obj["spec"]["nodeName"] = node.name
                set_condition(obj, "PodScheduled", True)

        self._store.change(key_of(POD, pod), edit)

    def _run(self, uid: str, pod: Object) -> None:
        run = self._runs.get(uid)
        if run is None:
            if self._images is not None and _image(pod) not in self._images:
                self._tell(pod, pod_status.waiting_for_image(_image(pod)))
                return
            run = self._runs[uid] = Run(pod, self._folder / f"{name_of(pod)}.{uid[:8]}")
            run.folder.mkdir()
            run.address = self._network.started(pod)
        run.pod = pod
        pod["status"]["podIP"] = run.address
        if run.process is None:
            self._start_or_wait(run)
            return
        code = run.process.exit_code()
        if code is None:
            run.is_ready = run.is_ready or self._probe(run)
            self._tell(
                pod, pod_status.running(run.container, run.restarts, run.is_ready, run.last_exit)
            )
        else:
            self._ended(run, code)

    def _start_or_wait(self, run: Run) -> None:
        if run.last_exit is not None:
            # The first restart comes at once.
            wait_s = _FIRST_BACKOFF_S * 2 ** (run.restarts - 1) if run.restarts else 0.0
            since_s = self._clock.since("crash", run.pod["metadata"]["uid"], run.restarts)
            if since_s < min(wait_s, _LONGEST_BACKOFF_S):
                self._tell(run.pod, pod_status.crashed(run.container, run.restarts, run.last_exit))
                return
            run.restarts += 1
        given = {**image_environment(), **self._account(run.pod)}
        variables = environment(run.pod, run.container, given=given)
        program, variables_there = self._network.command(
            run.pod, command(run.container, variables), variables
        )
        run.process = Process(program, variables_there, run.folder, run.log(run.restarts))
        self._tell(run.pod, pod_status.running(run.container, run.restarts, False, run.last_exit))

    def _ended(self, run: Run, code: int) -> None:
        policy = run.pod["spec"].get("restartPolicy", "Always")
        run.process, run.is_ready = None, False
        if policy == "Always" or (policy == "OnFailure" and code != 0):
            run.last_exit = code
            self._tell(run.pod, pod_status.crashed(run.container, run.restarts, code))
        else:
            self._network.ended(run.pod)
            self._tell(run.pod, pod_status.ended(run.container, run.restarts, code))

    def _end(self, uid: str, pod: Object) -> None:
        run = self._runs.get(uid)
        code = 0
        if run is not None and run.process is not None:
            running_code = run.process.exit_code()
            if running_code is None:
                grace_s = pod["metadata"]["deletionGracePeriodSeconds"]
                if not run.is_told_to_end:
                    run.is_told_to_end = True
                    run.process.terminate()
                if self._clock.since("grace", uid) < grace_s:
                    return
                run.process.kill()
                running_code = 137
            code = running_code
            run.process = None
            self._tell(pod, pod_status.ended(run.container, run.restarts, code))
        if run is not None:
            self._network.ended(run.pod)

        def edit(obj: Object) -> None:
            obj["metadata"]["deletionGracePeriodSeconds"] = 0
            status = obj.setdefault("status", {})
            if status.get("phase", "Pending") in ("Pending", "Running"):
                status["phase"] = "Failed"

        self._store.change(key_of(POD, pod), edit)

    def _stop(self, uid: str) -> None:
        run = self._runs.pop(uid)
        if run.process is not None:
            run.process.kill()
            self._network.ended(run.pod)

    def _probe(self, run: Run) -> bool:
        probe = run.container.get("readinessProbe")
        if probe is None:
            return True
        port = probe["tcpSocket"]["port"]
        if isinstance(port, str):
            ports = run.container["ports"]
            port = next(item["containerPort"] for item in ports if item["name"] == port)
        return self._network.listens(run.pod, port)

    def _account(self, pod: Object) -> dict[str, str]:
        """Return what lets a pod speak to the API server, if it gets a token."""
        namespace = pod["metadata"]["namespace"]
        name = pod["spec"].get("serviceAccountName", "default")
        account = self._store.find(Key(SERVICE_ACCOUNT, namespace, name)) or {}
        usual = account.get("automountServiceAccountToken", True)
        if not account or not pod["spec"].get("automountServiceAccountToken", usual):
            return {}
        return {"KUBECONFIG": self._kubeconfig[f"system:serviceaccount:{namespace}:{name}"]}

    def _tell(self, pod: Object, status: Object) -> None:
        def edit(obj: Object) -> None:
            if "podIP" in pod["status"]:
                obj["status"]["podIP"] = pod["status"]["podIP"]
            pod_status.apply(obj, status)

        self._store.change(key_of(POD, pod), edit)


def _image(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])
