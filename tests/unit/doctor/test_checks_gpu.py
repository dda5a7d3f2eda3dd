"""GPUs: workers can use those that they have."""

from __future__ import annotations

from tests.unit.doctor.made import CHIEF, GIB, OTHER_WORKER, WORKER, alone, facts, observed, only
from tfps.doctor.checks import gpu
from tfps.doctor.facts import Gpu, Gpus
from tfps.doctor.finding import Level

CARD = Gpu(name="H100", driver="550.54", memory_bytes=80 * GIB)


def test_no_gpu_is_well() -> None:
    assert only(gpu.check(observed())).says == "none on worker 0, worker 1"


def test_a_gpu_that_tensorflow_cannot_use_is_red_with_what_is_missing() -> None:
    gpus = Gpus(listed=(CARD,), usable=0, missing=("nvidia-cudnn-cu12",))
    found = only(gpu.check(alone(gpus=gpus)))
    assert found.level is Level.RED
    assert "1 x H100 (80 GiB, driver 550.54)" in found.says
    assert "missing: nvidia-cudnn-cu12" in found.to_do


def test_usable_and_hidden_gpus_are_well() -> None:
    for gpus in (Gpus(listed=(CARD, CARD), usable=2), Gpus(listed=(CARD,), hidden=True)):
        workers = [facts(task, gpus=gpus) for task in (WORKER, OTHER_WORKER)]
        assert only(gpu.check(observed(*workers))).level is Level.OK


def test_workers_with_and_without_a_gpu_are_a_warning() -> None:
    found = only(gpu.check(observed(facts(WORKER, gpus=Gpus(listed=(CARD,), usable=1)))))
    assert found.level is Level.WARN
    assert found.says.endswith("these have none: worker 1")


def test_gpus_of_other_tasks_do_not_count() -> None:
    chief = facts(CHIEF, gpus=Gpus(listed=(CARD,)))
    assert only(gpu.check(observed(chief))).level is Level.OK


def test_a_broken_driver_is_a_warning_with_its_words() -> None:
    found = only(gpu.check(alone(gpus=Gpus(fault="no devices were found"))))
    assert found.level is Level.WARN
    assert "no devices were found" in found.says
