"""What a task says of its machine, and of its versions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tests.unit.doctor.made import SPEC, WORKER
from tfps.cluster.tf_config import TFConfig
from tfps.doctor import machine, versions
from tfps.doctor.facts import Facts
from tfps.doctor.protocol import read


def test_a_task_says_who_and_where_it_is(tmp_path: Path) -> None:
    found = machine.look(TFConfig(cluster=SPEC, task=WORKER), (str(tmp_path),))
    assert (found.task, found.cluster) == (WORKER, SPEC.as_dict())
    assert found.network_id.startswith(found.host_id)
    assert found.disks[0].free_bytes > 0
    assert not {"127.0.0.1", "::1"} & set(found.ips)
    assert read(Facts, json.loads(json.dumps(dataclasses.asdict(found)))) == found


def test_a_machine_alone_has_a_name(tmp_path: Path) -> None:
    assert machine.look(None, (str(tmp_path),)).label == "this machine"


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (disk,) = machine.look(None, (str(tmp_path / "none"),)).disks
    assert disk.fault == "No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_all_packages_have_a_version_here_and_most_a_range() -> None:
    assert set(versions.installed()) == {versions.PYTHON, *versions.PACKAGES}
    supported = versions.supported()
    assert supported["Python"].startswith(">=3.")
    assert "," in supported["Keras"]
    assert "," in supported["TensorFlow"]
    assert "numpy" not in supported


def test_cuda_packages_are_known_by_tensorflows_own_metadata() -> None:
    assert all(name.startswith("nvidia-") for name in versions.missing_for_gpus())
