"""The machines of Vertex AI, as its documentation lists them, and which of them a role gets."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tfps.errors import Fault
from tfps.jobs.role import Role

_ANY_GPU = "nvidia-l4"
"""For a role without gpu_type: it is available in most regions, and computes in bfloat16."""

# The name up to the number of cores, GiB for each core, and the numbers of cores.
_SERIES = (
    ("n2-highcpu", 1.0, (16, 32, 48, 64, 80)),
    ("n2-standard", 4.0, (4, 8, 16, 32, 48, 64, 80)),
    ("n2-highmem", 8.0, (2, 4, 8, 16, 32, 48, 64, 80)),
    ("n1-highcpu", 0.9, (16, 32, 64, 96)),
    ("n1-standard", 3.75, (4, 8, 16, 32, 64, 96)),
    ("n1-highmem", 6.5, (2, 4, 8, 16, 32, 64, 96)),
    ("e2-highcpu", 1.0, (16, 32)),
    ("e2-standard", 4.0, (4, 8, 16, 32)),
    ("e2-highmem", 8.0, (2, 4, 8, 16)),
    ("n4-highcpu", 2.0, (2, 4, 8, 16, 32, 48, 64, 80)),
    ("n4-standard", 4.0, (2, 4, 8, 16, 32, 48, 64, 80)),
    ("n4-highmem", 8.0, (2, 4, 8, 16, 32, 48, 64, 80)),
    ("c2-standard", 4.0, (4, 8, 16, 30, 60)),
    ("m1-ultramem", 24.025, (40, 80, 160)),
    ("m1-megamem", 14.93, (96,)),
)

# GPUs that can be added to an n1: their numbers, and the highest number of cores for each GPU. P100
# is left out because its support has ended.
_N1_GPUS = (
    ("nvidia-tesla-t4", (1, 2, 4), 24),
    ("nvidia-tesla-v100", (1, 2, 4, 8), 12),
    ("nvidia-tesla-p4", (1, 2, 4), 24),
)

# Machines with built-in GPUs: name, cores, GiB, type and number of GPUs.
_WITH_GPUS = (
    ("g2-standard-4", 4, 16, "nvidia-l4", 1),
    ("g2-standard-8", 8, 32, "nvidia-l4", 1),
    ("g2-standard-12", 12, 48, "nvidia-l4", 1),
    ("g2-standard-16", 16, 64, "nvidia-l4", 1),
    ("g2-standard-32", 32, 128, "nvidia-l4", 1),
    ("g2-standard-24", 24, 96, "nvidia-l4", 2),
    ("g2-standard-48", 48, 192, "nvidia-l4", 4),
    ("g2-standard-96", 96, 384, "nvidia-l4", 8),
    ("g4-standard-48", 48, 180, "nvidia-rtx-pro-6000", 1),
    ("g4-standard-96", 96, 360, "nvidia-rtx-pro-6000", 2),
    ("g4-standard-192", 192, 720, "nvidia-rtx-pro-6000", 4),
    ("g4-standard-384", 384, 1440, "nvidia-rtx-pro-6000", 8),
    ("a2-highgpu-1g", 12, 85, "nvidia-tesla-a100", 1),
    ("a2-highgpu-2g", 24, 170, "nvidia-tesla-a100", 2),
    ("a2-highgpu-4g", 48, 340, "nvidia-tesla-a100", 4),
    ("a2-highgpu-8g", 96, 680, "nvidia-tesla-a100", 8),
    ("a2-megagpu-16g", 96, 1360, "nvidia-tesla-a100", 16),
    ("a2-ultragpu-1g", 12, 170, "nvidia-a100-80gb", 1),
    ("a2-ultragpu-2g", 24, 340, "nvidia-a100-80gb", 2),
    ("a2-ultragpu-4g", 48, 680, "nvidia-a100-80gb", 4),
    ("a2-ultragpu-8g", 96, 1360, "nvidia-a100-80gb", 8),
    ("a3-highgpu-1g", 26, 234, "nvidia-h100-80gb", 1),
    ("a3-highgpu-2g", 52, 468, "nvidia-h100-80gb", 2),
    ("a3-highgpu-4g", 104, 936, "nvidia-h100-80gb", 4),
    ("a3-highgpu-8g", 208, 1872, "nvidia-h100-80gb", 8),
    ("a3-megagpu-8g", 208, 1872, "nvidia-h100-mega-80gb", 8),
    ("a3-ultragpu-8g", 224, 2952, "nvidia-h200-141gb", 8),
    ("a4-highgpu-8g", 224, 3968, "nvidia-b200", 8),
    ("a4x-highgpu-4g", 140, 884, "nvidia-gb200", 4),
)

# The series for tasks without GPUs: n2, because a ps needs a fast network, of which e2 has half,
# and because n4 needs other disks; n1 for more cores, m1 for more memory.
_CHOSEN_FROM = ("n2", "n1", "m1")

# Vertex AI's own agents take up to 40 % of the memory of its smallest machines, those of 15 GB.
_AGENTS_SHARE, _AGENTS_GIB = 0.4, 6.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A type of machine.

    Attributes:
        name: The type's name.
        cpu: Number of virtual cores.
        memory_gib: GiB of memory, including what Vertex AI's agents take.
        gpus: The possible numbers of GPUs, by GPU type.
        always_has_gpus: Whether the machine always has GPUs.
    """

    name: str
    cpu: int
    memory_gib: float
    gpus: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    always_has_gpus: bool = False

    @property
    def series(self) -> str:
        """The first part of the name, e.g. "n2"."""
        return self.name.partition("-")[0]

    def takes(self, gpu_type: str, number: int) -> bool:
        """Return whether the machine can have this number of GPUs of a type."""
        return number in self.gpus.get(gpu_type, ())

    def has_room_for(self, cpu: float, memory_gib: float) -> bool:
        """Return whether a task fits on the machine, beside Vertex AI's agents."""
        agents_gib = min(self.memory_gib * _AGENTS_SHARE, _AGENTS_GIB)
        return cpu <= self.cpu and memory_gib <= self.memory_gib - agents_gib


def machine_spec(role: Role) -> dict[str, Any]:
    """Return the machineSpec of a pool, for a role that has no `machine_faults`."""
    gpu_type = _gpu_type(role)
    machine = _machine(role, gpu_type)
    content: dict[str, Any] = {"machineType": machine.name} if machine else {}
    if gpu_type is not None:
        content["acceleratorType"] = gpu_type.upper().replace("-", "_")
        content["acceleratorCount"] = role.gpus
    return content


def machine_faults(role: Role) -> Iterator[Fault]:
    """Yield faults of a role if no machine of Vertex AI has what it asks for."""
    gpu_type = _gpu_type(role)
    if gpu_type is not None and gpu_type not in GPU_TYPES:
        yield Fault(
            ("gpu_type",),
            f"{gpu_type!r} is not a GPU of Vertex AI. {_hint(gpu_type, GPU_TYPES)}Choose one of "
            f"{', '.join(GPU_TYPES)}.",
        )
    elif role.machine_type is not None:
        yield from _named_machine_faults(role, role.machine_type)
    elif gpu_type is not None and role.gpus not in gpu_numbers(gpu_type):
        numbers = ", ".join(map(str, gpu_numbers(gpu_type)))
        yield Fault(
            ("gpus",),
            f"no machine of Vertex AI has {role.gpus} {gpu_type}. Give one of {numbers}.",
        )
    elif _machine(role, gpu_type) is None:
        yield _no_room_fault(role, gpu_type)


def choices(gpu_type: str | None, gpus: int) -> list[Machine]:
    """Return the machines that a task may get, the preferred ones first."""
    if gpu_type is not None:
        fitting = [machine for machine in MACHINES.values() if machine.takes(gpu_type, gpus)]
        return _in_order_of_size(fitting)
    return [
        machine
        for series in _CHOSEN_FROM
        for machine in _in_order_of_size(
            [machine for machine in MACHINES.values() if machine.series == series]
        )
    ]


def gpu_numbers(gpu_type: str) -> list[int]:
    """Return the numbers of GPUs of a type that some machine offers."""
    numbers = (machine.gpus.get(gpu_type, ()) for machine in MACHINES.values())
    return sorted({number for several in numbers for number in several})


def _gpu_type(role: Role) -> str | None:
    if not role.gpus:
        return None
    machine = MACHINES.get(role.machine_type or "")
    gpus = machine.gpus if machine else {}
    fitting = (name for name, numbers in gpus.items() if role.gpus in numbers)
    return role.gpu_type or next(fitting, _ANY_GPU)


def _machine(role: Role, gpu_type: str | None) -> Machine | None:
    if role.machine_type is not None:
        return MACHINES.get(role.machine_type)
    fitting = (
        machine
        for machine in choices(gpu_type, role.gpus)
        if machine.has_room_for(role.cpu, role.memory_gib)
    )
    return next(fitting, None)


def _named_machine_faults(role: Role, name: str) -> Iterator[Fault]:
    machine = MACHINES.get(name)
    if machine is None:
        series = ", ".join(dict.fromkeys(machine.series for machine in MACHINES.values()))
        yield Fault(
            ("machine_type",),
            f"{name!r} is no machine that Vertex AI trains on. {_hint(name, MACHINES)}Choose "
            f"one of the series {series}.",
        )
        return
    gpu_type = _gpu_type(role)
    if machine.always_has_gpus if gpu_type is None else not machine.takes(gpu_type, role.gpus):
        yield Fault(
            ("machine_type",),
            f"{name!r} has {_gpus_of(machine)}, but the role asks for "
            f"{_asked(role, gpu_type)}. Leave machine_type out, or correct gpus and gpu_type.",
        )
    if role.cpu > machine.cpu or role.memory_gib > machine.memory_gib:
        yield Fault(
            ("machine_type",),
            f"{name!r} has {machine.cpu} cores and {machine.memory_gib:g} GiB, but the role asks "
            f"for cpu {role.cpu:g} and memory_gib {role.memory_gib:g}. Leave machine_type out, or "
            "ask for less.",
        )


def _no_room_fault(role: Role, gpu_type: str | None) -> Fault:
    machines = choices(gpu_type, role.gpus)
    cores = max(machine.cpu for machine in machines)
    memory_gib = max(machine.memory_gib for machine in machines)
    which = f"with {_asked(role, gpu_type)}" if gpu_type else "without GPUs"
    return Fault(
        (),
        f"no machine of Vertex AI {which} has room for cpu {role.cpu:g} and memory_gib "
        f"{role.memory_gib:g}: they have up to {cores} cores and up to {memory_gib:g} GiB, of "
        "which Vertex AI takes up to 6. Ask for less, with more replicas.",
    )


def _gpus_of(machine: Machine) -> str:
    """Return a machine's possible GPUs as text, e.g. `1 nvidia-l4` or `no GPUs`."""
    options = [
        f"{' or '.join(map(str, numbers))} {gpu_type}"
        for gpu_type, numbers in machine.gpus.items()
        if numbers
    ]
    return ", or ".join(options) or "no GPUs"


def _asked(role: Role, gpu_type: str | None) -> str:
    return "no GPUs" if gpu_type is None else f"{role.gpus} {gpu_type}"


def _hint(name: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, allowed, n=1)
    return f"Did you mean {near[0]!r}? " if near else ""


def _in_order_of_size(machines: list[Machine]) -> list[Machine]:
    return sorted(machines, key=lambda machine: (machine.cpu, machine.memory_gib))


def _machines() -> Iterator[Machine]:
    for kind, gib, sizes in _SERIES:
        for cpu in sizes:
            gpus = _n1_gpus(cpu) if kind.startswith("n1-") else {}
            yield Machine(name=f"{kind}-{cpu}", cpu=cpu, memory_gib=gib * cpu, gpus=gpus)
    for name, cpu, memory_gib, gpu_type, number in _WITH_GPUS:
        yield Machine(
            name=name,
            cpu=cpu,
            memory_gib=memory_gib,
            gpus={gpu_type: (number,)},
            always_has_gpus=True,
        )


def _n1_gpus(cpu: int) -> dict[str, tuple[int, ...]]:
    return {
        gpu_type: tuple(number for number in numbers if number * cores >= cpu)
        for gpu_type, numbers, cores in _N1_GPUS
    }


MACHINES: Mapping[str, Machine] = {machine.name: machine for machine in _machines()}
"""All types, by name."""

GPU_TYPES = tuple(
    dict.fromkeys(gpu_type for machine in MACHINES.values() for gpu_type in machine.gpus)
)
"""All types of GPUs."""
