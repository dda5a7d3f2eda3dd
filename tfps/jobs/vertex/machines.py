"""The machines that Vertex AI trains on, and their GPUs, as its documentation lists them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

# Name up to the number of cores, GiB for each of them, and the numbers that there are.
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

# What can be added to an n1: how many, and with how many cores for each at most. P100 is left out:
# its support has ended.
_N1_GPUS = (
    ("nvidia-tesla-t4", (1, 2, 4), 24),
    ("nvidia-tesla-v100", (1, 2, 4, 8), 12),
    ("nvidia-tesla-p4", (1, 2, 4), 24),
)

# Machines that have their GPUs: name, cores, GiB, type and number of GPUs.
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

# From which one is chosen for a task without GPUs: n2, as a ps lives by its network, of which e2
# has half, and n4 has other disks; n1 for more cores, m1 for more memory.
_CHOSEN_FROM = ("n2", "n1", "m1")

# Vertex AI's own agents take up to 40 % of the memory of its smallest machines, those of 15 GB.
_AGENTS_SHARE, _AGENTS_GIB = 0.4, 6.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A type of machine.

    Attributes:
        name: The type's.
        cpu: Virtual cores.
        memory_gib: GiB of memory, that of Vertex AI's agents included.
        gpus: The numbers of GPUs that it can have, by their type.
        always_has_gpus: Whether it cannot be had without them.
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
        """Return whether it can have so many GPUs of a type."""
        return number in self.gpus.get(gpu_type, ())

    def has_room_for(self, cpu: float, memory_gib: float) -> bool:
        """Return whether a task finds so much on it, besides Vertex AI's agents."""
        agents_gib = min(self.memory_gib * _AGENTS_SHARE, _AGENTS_GIB)
        return cpu <= self.cpu and memory_gib <= self.memory_gib - agents_gib


def choices(gpu_type: str | None, gpus: int) -> list[Machine]:
    """Return the machines that are chosen from for a task, the first choice first."""
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
    """Return the numbers of GPUs of a type that some machine can have."""
    numbers = (machine.gpus.get(gpu_type, ()) for machine in MACHINES.values())
    return sorted({number for several in numbers for number in several})


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
