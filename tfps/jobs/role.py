"""A role of a job: how many tasks it has, what they run, and which machine they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.storage import Mount


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toleration:
    """A Kubernetes toleration: tasks may run on nodes that have a matching taint.

    Attributes:
        key: The taint's key; None with `operator: Exists` matches every taint.
        operator: "Equal" compares `value`, "Exists" does not.
        value: The taint's value.
        effect: The taint's effect; None matches all effects.
    """

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def _faults(self) -> Iterator[Fault]:
        yield from checks.well_formed("key", self.key, checks.label_key_fault)
        yield from checks.well_formed("value", self.value, checks.label_value_fault)
        if self.operator == "Exists" and self.value is not None:
            yield Fault(
                ("value",), "operator Exists compares no value. Leave it out, or write Equal."
            )
        if self.operator == "Equal" and self.key is None:
            yield Fault((), "a toleration has no key. Give one, or write operator: Exists.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Role:
    """All tasks of one type.

    Attributes:
        replicas: Number of tasks.
        minimum_replicas: The number of workers that must keep running while the platform empties
            nodes; None for all. To start, a job needs all replicas.
        cpu: Cores of a task. It computes with as many threads.
        memory_gib: GiB of memory of a task.
        disk_gib: GiB of local disk of a task; None for the platform's default.
        gpus: Number of GPUs of a task.
        gpu_type: The type of GPU, e.g. "nvidia-l4"; None for any.
        machine_type: The type of machine, e.g. "n2-highmem-8"; None for any that is large enough.
        image: Container image; None for the job's.
        command: Program and arguments; None for the job's.
        env: Environment variables, in addition to the job's.
        ports: Further ports by name, in addition to the port of TensorFlow's server.
        mounts: Mounted volumes, in addition to the job's mounts.
        node_selector: Labels that a node must have.
        tolerations: Taints that a node may have.
        spot: Whether tasks run on spot machines, which the platform may take back.
        restarts: How often a failed task is restarted. Losing a machine does not count as failure.
        hosts: Host names or IP addresses of the tasks, where no platform places them.
    """

    replicas: int = 1
    minimum_replicas: int | None = None
    cpu: float = 1.0
    memory_gib: float = 4.0
    disk_gib: float | None = None
    gpus: int = 0
    gpu_type: str | None = None
    machine_type: str | None = None
    image: str | None = None
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ports: Mapping[str, int] = dataclasses.field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    node_selector: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    spot: bool = False
    restarts: int = 3
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check((*self._amount_faults(), *self._program_faults(), *self._node_faults()))

    def _amount_faults(self) -> Iterator[Fault]:
        yield from checks.at_least("replicas", self.replicas, 1)
        yield from checks.at_least("minimum_replicas", self.minimum_replicas, 1)
        if self.minimum_replicas is not None and self.minimum_replicas > self.replicas:
            yield Fault(
                ("minimum_replicas",),
                f"{self.minimum_replicas} is more than the {self.replicas} replicas. Give at most "
                "as many.",
            )
        for name in ("cpu", "memory_gib", "disk_gib"):
            yield from checks.above_zero(name, getattr(self, name))
        yield from checks.at_least("gpus", self.gpus, 0)
        yield from checks.at_least("restarts", self.restarts, 0)

    def _program_faults(self) -> Iterator[Fault]:
        yield from checks.well_formed("image", self.image, checks.image_fault)
        yield from command_faults(self.command)
        yield from checks.keys("env", self.env, checks.variable_fault)
        yield from checks.keys("ports", self.ports, checks.port_name_fault)
        for name, port in self.ports.items():
            yield from (fault.below("ports") for fault in port_faults(name, port))
        yield from checks.repeated("mounts", [mount.path for mount in self.mounts], "path")

    def _node_faults(self) -> Iterator[Fault]:
        if self.gpu_type is not None and self.gpus < 1:
            yield Fault(
                ("gpu_type",),
                f"{self.gpu_type!r} is given for no GPUs. Give gpus: 1, or leave it out.",
            )
        yield from checks.well_formed("gpu_type", self.gpu_type, checks.label_value_fault)
        yield from checks.well_formed("machine_type", self.machine_type, checks.label_value_fault)
        yield from checks.labels(
            "node_selector", self.node_selector, checks.label_key_fault, checks.label_value_fault
        )
        if self.hosts and len(self.hosts) != self.replicas:
            yield Fault(
                ("hosts",),
                f"{len(self.hosts)} hosts are given for {self.replicas} replicas. Give one for "
                "each task, the same more than once if need be.",
            )
        for index, host in enumerate(self.hosts):
            yield from (fault.below("hosts") for fault in _host_faults(index, host))


def command_faults(command: tuple[str, ...] | None) -> Iterator[Fault]:
    """Check a program and its arguments, unless they are None."""
    if command is not None and not (command and command[0]):
        yield Fault(
            ("command",), "no program is given. Write it as a list, e.g. [python, train.py]."
        )


def port_faults(name: str, port: int) -> Iterator[Fault]:
    """Check the number of a port on which a task listens without root's rights."""
    if not 1024 <= port <= 65535:
        yield Fault((name,), f"{port} is not a port for tasks. Choose one of 1024 to 65535.")


def _host_faults(index: int, host: str) -> Iterator[Fault]:
    if not host or any(character in host for character in " \t/@[]"):
        yield Fault((index,), f"{host!r} is not a host name or IP address. Give no user and port.")
