"""On which machine of Vertex AI the tasks of a role run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from tfps.errors import Fault
from tfps.jobs.role import Role
from tfps.jobs.vertex.machines import GPU_TYPES, MACHINES, Machine, choices, gpu_numbers
from tfps.jobs.vertex.message import Message, message

_ANY_GPU = "nvidia-l4"
"""For a role that leaves the type open: in most regions, and it computes in bfloat16."""


def machine_spec(role: Role) -> Message:
    """Return a pool's machineSpec, for a role without `machine_faults`."""
    gpu_type = _gpu_type(role)
    machine = _machine(role, gpu_type)
    return message(
        machineType=machine and machine.name,
        acceleratorType=gpu_type and gpu_type.upper().replace("-", "_"),
        acceleratorCount=role.gpus,
    )


def machine_faults(role: Role) -> Iterator[Fault]:
    """Say what no machine of Vertex AI has."""
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


def _gpu_type(role: Role) -> str | None:
    if not role.gpus:
        return None
    machine = MACHINES.get(role.machine_type or "")
    of_machine = machine.gpus if machine else {}
    fitting = (name for name, numbers in of_machine.items() if role.gpus in numbers)
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
    found = choices(gpu_type, role.gpus)
    cores = max(machine.cpu for machine in found)
    memory_gib = max(machine.memory_gib for machine in found)
    which = f"with {_asked(role, gpu_type)}" if gpu_type else "without GPUs"
    return Fault(
        (),
        f"no machine of Vertex AI {which} has room for cpu {role.cpu:g} and memory_gib "
        f"{role.memory_gib:g}: they have up to {cores} cores and up to {memory_gib:g} GiB, of "
        "which Vertex AI takes up to 6. Ask for less, with more replicas.",
    )


def _gpus_of(machine: Machine) -> str:
    """Write what a machine can have, e.g. `1 nvidia-l4` or `no GPUs`."""
    found = [
        f"{' or '.join(map(str, numbers))} {gpu_type}"
        for gpu_type, numbers in machine.gpus.items()
        if numbers
    ]
    return ", or ".join(found) or "no GPUs"


def _asked(role: Role, gpu_type: str | None) -> str:
    return "no GPUs" if gpu_type is None else f"{role.gpus} {gpu_type}"


def _hint(name: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, allowed, n=1)
    return f"Did you mean {near[0]!r}? " if near else ""
