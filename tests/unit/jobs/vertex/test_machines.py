"""The machine of a role: the smallest that has enough room and the right GPUs."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.aiplatform_v1 import AcceleratorType

from tests.unit.jobs.vertex.renderings import pool
from tfps.jobs.role import Role
from tfps.jobs.vertex.machines import GPU_TYPES, MACHINES, gpu_numbers

CHOSEN: list[tuple[dict[str, Any], str]] = [
    ({"cpu": 0.5, "memory_gib": 1}, "n2-highmem-2"),
    ({"cpu": 2, "memory_gib": 10}, "n2-highmem-2"),
    ({"cpu": 2, "memory_gib": 10.5}, "n2-highmem-4"),
    ({"cpu": 4, "memory_gib": 10}, "n2-standard-4"),
    ({"cpu": 5, "memory_gib": 8}, "n2-standard-8"),
    ({"cpu": 16, "memory_gib": 10}, "n2-highcpu-16"),
    ({"cpu": 16, "memory_gib": 128}, "n2-highmem-32"),
    ({"cpu": 81, "memory_gib": 300}, "n1-standard-96"),
    ({"cpu": 16, "memory_gib": 700}, "m1-ultramem-40"),
    ({"cpu": 90, "memory_gib": 1000}, "m1-megamem-96"),
    ({"gpus": 1}, "g2-standard-4"),
    ({"gpus": 1, "cpu": 16, "memory_gib": 64}, "g2-standard-32"),
    ({"gpus": 2, "gpu_type": "nvidia-l4"}, "g2-standard-24"),
    ({"gpus": 1, "gpu_type": "nvidia-tesla-t4"}, "n1-highmem-2"),
    ({"gpus": 4, "gpu_type": "nvidia-tesla-t4", "cpu": 64}, "n1-highcpu-64"),
    ({"gpus": 1, "gpu_type": "nvidia-tesla-v100", "cpu": 8}, "n1-standard-8"),
    ({"gpus": 16, "gpu_type": "nvidia-tesla-a100"}, "a2-megagpu-16g"),
    ({"gpus": 8, "gpu_type": "nvidia-h100-80gb"}, "a3-highgpu-8g"),
    ({"gpus": 8, "gpu_type": "nvidia-h200-141gb"}, "a3-ultragpu-8g"),
]


@pytest.mark.parametrize(("asked", "machine_type"), CHOSEN, ids=str)
def test_the_smallest_machine_with_room_is_chosen(asked: dict[str, Any], machine_type: str) -> None:
    machine_spec = pool(Role(**{"memory_gib": 4, **asked}))["machineSpec"]
    assert machine_spec["machineType"] == machine_type
    assert machine_spec.get("acceleratorCount", 0) == asked.get("gpus", 0)


@pytest.mark.parametrize(
    ("machine_type", "gpus", "accelerator"),
    [
        ("a2-highgpu-2g", 2, "NVIDIA_TESLA_A100"),
        ("a3-megagpu-8g", 8, "NVIDIA_H100_MEGA_80GB"),
        ("g2-standard-48", 4, "NVIDIA_L4"),
        ("n1-standard-16", 1, "NVIDIA_TESLA_T4"),
        ("n1-standard-16", 8, "NVIDIA_TESLA_V100"),
    ],
)
def test_a_machine_that_is_named_says_which_gpus(
    machine_type: str, gpus: int, accelerator: str
) -> None:
    assert pool(Role(machine_type=machine_type, gpus=gpus))["machineSpec"] == {
        "machineType": machine_type,
        "acceleratorType": accelerator,
        "acceleratorCount": gpus,
    }


@pytest.mark.parametrize("machine_type", ["e2-standard-4", "n4-highmem-2", "c2-standard-30"])
def test_a_machine_of_any_series_can_be_named(machine_type: str) -> None:
    assert pool(Role(machine_type=machine_type))["machineSpec"] == {"machineType": machine_type}


@pytest.mark.parametrize("gpu_type", GPU_TYPES)
def test_every_gpu_is_an_accelerator_of_the_api_and_can_be_had(gpu_type: str) -> None:
    for number in gpu_numbers(gpu_type):
        machine_spec = pool(Role(gpus=number, gpu_type=gpu_type, memory_gib=1))["machineSpec"]
        accelerator = AcceleratorType[machine_spec["acceleratorType"]]
        assert accelerator.name.lower().replace("_", "-") == gpu_type


# What the documentation's table of valid numbers has for some of the n1.
@pytest.mark.parametrize(
    ("machine_type", "t4", "v100"),
    [
        ("n1-highmem-2", (1, 2, 4), (1, 2, 4, 8)),
        ("n1-standard-8", (1, 2, 4), (1, 2, 4, 8)),
        ("n1-standard-16", (1, 2, 4), (2, 4, 8)),
        ("n1-highcpu-32", (2, 4), (4, 8)),
        ("n1-highcpu-64", (4,), (8,)),
        ("n1-highmem-96", (4,), (8,)),
    ],
)
def test_more_cores_need_more_gpus(
    machine_type: str, t4: tuple[int, ...], v100: tuple[int, ...]
) -> None:
    gpus = MACHINES[machine_type].gpus
    assert (gpus["nvidia-tesla-t4"], gpus["nvidia-tesla-v100"]) == (t4, v100)
