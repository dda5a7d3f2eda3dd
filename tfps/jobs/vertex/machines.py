"""The machines that Vertex AI trains on, and their GPUs, as its documentation lists them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

_SYSTEM_SHARE, _SYSTEM_GIB = 0.4, 6.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine type.

    Attributes:
        name: The type's name.
        cpu: Virtual cores.
        memory_gib: GiB of memory, the system's share included.
        gpus: How many GPUs of which type it can have, e.g. {"nvidia-tesla-t4": (1, 2, 4)}.
        always_has_gpus: Whether it cannot be had without them.
    """

    name: str
    cpu: int
    memory_gib: float
    gpus: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    always_has_gpus: bool = False

    def gpu_type(self, number: int, wanted: str | None) -> str | None:
        """Return the type of GPUs of which it can have so many, or None."""
        types = [wanted] if wanted else list(self.gpus)
        return next((name for name in types if number in self.gpus.get(name, ())), None)

    def holds(self, cpu: float, memory_gib: float) -> bool:
        """Return whether a task finds so much on it besides Vertex AI's own agents.

        They take up to 40 % of the memory of the smallest machines, those of 15 GB.
        """
        system_gib = min(self.memory_gib * _SYSTEM_SHARE, _SYSTEM_GIB)
        return cpu <= self.cpu and memory_gib <= self.memory_gib - system_gib


def gpu_types() -> list[str]:
    """Return the types of all GPUs, the most usual first."""
    return list(dict.fromkeys(name for machine in MACHINES.values() for name in machine.gpus))


def gpu_numbers(gpu_type: str | None) -> list[int]:
    """Return how many GPUs of a type, or of any, a machine can have."""
    return sorted(
        {
            number
            for machine in MACHINES.values()
            for name, numbers in machine.gpus.items()
            for number in numbers
            if gpu_type in (None, name)
        }
    )


def smallest(cpu: float, memory_gib: float, gpus: int, gpu_type: str | None) -> Machine | None:
    """Return the smallest machine of the first series that has one for a task, or None."""
    for machine in MACHINES.values():
        has_gpus = machine.gpu_type(gpus, gpu_type) if gpus else not machine.always_has_gpus
        if has_gpus and machine.holds(cpu, memory_gib):
            return machine
    return None


def _shapes(series: str, gib_of_a_core: Mapping[str, tuple[float, str]]) -> Iterator[Machine]:
    for kind, (gib, sizes) in gib_of_a_core.items():
        for cpu in map(int, sizes.split()):
            gpus = dict(_n1_gpus(cpu)) if series == "n1" else {}
            name = f"{series}-{kind}-{cpu}"
            yield Machine(name=name, cpu=cpu, memory_gib=gib * cpu, gpus=gpus)


def _n1_gpus(cpu: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    # A GPU comes with at most so many cores, and a machine must not have more.
    for gpu_type, cores, numbers in (
        ("nvidia-tesla-t4", 24, (1, 2, 4)),
        ("nvidia-tesla-p4", 24, (1, 2, 4)),
        ("nvidia-tesla-v100", 12, (1, 2, 4, 8)),
    ):
        yield gpu_type, tuple(number for number in numbers if number * cores >= cpu)


def _with_gpus(gpu_type: str, machines: str) -> Iterator[Machine]:
    for machine in machines.split():
        name, cpu, gib, number = machine.split(":")
        yield Machine(
            name=name,
            cpu=int(cpu),
            memory_gib=float(gib),
            gpus={gpu_type: (int(number),)},
            always_has_gpus=True,
        )


def _in_order_of_size(machines: Iterator[Machine]) -> list[Machine]:
    return sorted(machines, key=lambda machine: (machine.cpu, machine.memory_gib))


_N1 = {
    "highcpu": (0.9, "16 32 64 96"),
    "standard": (3.75, "4 8 16 32 64 96"),
    "highmem": (6.5, "2 4 8 16 32 64 96"),
}
_N2 = {
    "highcpu": (1.0, "16 32 48 64 80"),
    "standard": (4.0, "4 8 16 32 48 64 80"),
    "highmem": (8.0, "2 4 8 16 32 48 64 80"),
}
_N4 = {
    "highcpu": (2.0, "2 4 8 16 32 48 64 80"),
    "standard": (4.0, "2 4 8 16 32 48 64 80"),
    "highmem": (8.0, "2 4 8 16 32 48 64 80"),
}
_E2 = {
    "highcpu": (1.0, "16 32"),
    "standard": (4.0, "4 8 16 32"),
    "highmem": (8.0, "2 4 8 16"),
}

MACHINES: Mapping[str, Machine] = {
    machine.name: machine
    for series in (
        # NAME:CORES:GIB:GPUS. L4 are in most regions, and compute in bfloat16.
        _with_gpus(
            "nvidia-l4",
            "g2-standard-4:4:16:1 g2-standard-8:8:32:1 g2-standard-12:12:48:1 "
            "g2-standard-16:16:64:1 g2-standard-24:24:96:2 g2-standard-32:32:128:1 "
            "g2-standard-48:48:192:4 g2-standard-96:96:384:8",
        ),
        # A ps lives by its network, and e2 has half of it.
        _shapes("n2", _N2),
        _shapes("n1", _N1),
        iter(
            (
                Machine(name="m1-ultramem-40", cpu=40, memory_gib=961.0),
                Machine(name="m1-ultramem-80", cpu=80, memory_gib=1922.0),
                Machine(name="m1-megamem-96", cpu=96, memory_gib=1433.6),
                Machine(name="m1-ultramem-160", cpu=160, memory_gib=3844.0),
            )
        ),
        _with_gpus(
            "nvidia-tesla-a100",
            "a2-highgpu-1g:12:85:1 a2-highgpu-2g:24:170:2 a2-highgpu-4g:48:340:4 "
            "a2-highgpu-8g:96:680:8 a2-megagpu-16g:96:1360:16",
        ),
        _with_gpus(
            "nvidia-a100-80gb",
            "a2-ultragpu-1g:12:170:1 a2-ultragpu-2g:24:340:2 a2-ultragpu-4g:48:680:4 "
            "a2-ultragpu-8g:96:1360:8",
        ),
        _with_gpus(
            "nvidia-rtx-pro-6000",
            "g4-standard-48:48:180:1 g4-standard-96:96:360:2 g4-standard-192:192:720:4 "
            "g4-standard-384:384:1440:8",
        ),
        _with_gpus(
            "nvidia-h100-80gb",
            "a3-highgpu-1g:26:234:1 a3-highgpu-2g:52:468:2 a3-highgpu-4g:104:936:4 "
            "a3-highgpu-8g:208:1872:8",
        ),
        _with_gpus("nvidia-h100-mega-80gb", "a3-megagpu-8g:208:1872:8"),
        _with_gpus("nvidia-h200-141gb", "a3-ultragpu-8g:224:2952:8"),
        _with_gpus("nvidia-b200", "a4-highgpu-8g:224:3968:8"),
        _with_gpus("nvidia-gb200", "a4x-highgpu-4g:140:884:4"),
        # These are only had by name.
        _shapes("e2", _E2),
        _shapes("n4", _N4),
        _shapes("c2", {"standard": (4.0, "4 8 16 30 60")}),
    )
    for machine in _in_order_of_size(series)
}
"""By name, and in the order in which one is chosen for a task."""
