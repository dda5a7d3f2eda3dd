"""What a task finds out about its machine: itself, its disks, and its limits in a container."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.unit.doctor.sample_job import SPEC, WORKER
from tfps.cluster.tf_config import TFConfig
from tfps.doctor import machine
from tfps.doctor.observations import TaskFacts
from tfps.doctor.protocol import read


def test_a_task_says_who_and_where_it_is(tmp_path: Path) -> None:
    found = machine.task_facts(TFConfig(cluster=SPEC, task=WORKER), (str(tmp_path),))
    assert (found.task, found.cluster) == (WORKER, SPEC.as_dict())
    assert found.network_id.startswith(found.host_id)
    assert found.disks[0].free_bytes > 0
    assert not {"127.0.0.1", "::1"} & set(found.ips)
    assert read(TaskFacts, json.loads(json.dumps(dataclasses.asdict(found)))) == found


def test_a_machine_alone_has_a_name(tmp_path: Path) -> None:
    assert machine.task_facts(None, (str(tmp_path),)).label == "this machine"


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (disk,) = machine.task_facts(None, (str(tmp_path / "none"),)).disks
    assert disk.fault == "No such file or directory"
    assert list(tmp_path.iterdir()) == []


GIB = 1 << 30


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content + "\n")
    return folder


def test_a_cgroup_and_those_around_it_count(tmp_path: Path) -> None:
    pod = write(tmp_path / "pods" / "pod7")
    folders = machine.cgroup_folders("0::/pods/pod7\n", tmp_path)
    assert folders == [pod, tmp_path / "pods", tmp_path]


def test_a_container_that_sees_only_its_own_cgroup_finds_it(tmp_path: Path) -> None:
    assert machine.cgroup_folders("0::/../pod7\n", tmp_path / "gone") == []
    assert machine.cgroup_folders("0::/pods/pod7\n", tmp_path) == [tmp_path]


def test_controllers_of_version_1_have_folders_of_their_own(tmp_path: Path) -> None:
    memory, cpu = write(tmp_path / "memory" / "job"), write(tmp_path / "cpu,cpuacct")
    membership = "5:memory:/job\n4:cpu,cpuacct:/elsewhere\n3:pids:/job\n"
    found = machine.cgroup_folders(membership, tmp_path)
    assert found == [memory, tmp_path / "memory", cpu]


def test_what_files_cache_is_not_used(tmp_path: Path) -> None:
    write(
        tmp_path,
        memory__max=str(4 * GIB),
        memory__current=str(3 * GIB),
        memory__stat=f"anon 5\ninactive_file {2 * GIB}\nactive_file 9",
    )
    found = machine.memory_limit(tmp_path)
    assert found == machine.MemoryLimit(bytes=4 * GIB, available_bytes=3 * GIB)


def test_memory_of_version_1_is_read(tmp_path: Path) -> None:
    write(tmp_path, memory__limit_in_bytes=str(GIB), memory__usage_in_bytes=str(2 * GIB))
    assert machine.memory_limit(tmp_path) == machine.MemoryLimit(bytes=GIB, available_bytes=0)


def test_a_cgroup_without_limits_has_none(tmp_path: Path) -> None:
    write(tmp_path, memory__max="max", memory__current="5", cpu__max="max 100000")
    assert machine.memory_limit(tmp_path) is None
    assert machine.quota_cores(tmp_path) is None
    assert machine.quota_cores(tmp_path / "gone") is None


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu__max": "150000 100000"}, 1.5),
        ({"cpu__cfs_quota_us": "200000", "cpu__cfs_period_us": "100000"}, 2.0),
        ({"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}, None),
    ],
)
def test_a_quota_of_time_is_in_cores(
    files: dict[str, str], cores: float | None, tmp_path: Path
) -> None:
    assert machine.quota_cores(write(tmp_path, **files)) == cores


def test_this_process_has_limits() -> None:
    found = machine.resource_limits()
    assert found.cores >= 1
    assert 0 < found.available_bytes <= found.memory_bytes
    assert found.open_files > 0
