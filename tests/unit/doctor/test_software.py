"""The versions and GPUs of a machine, with a made-up nvidia-smi and TensorFlow."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tfps.doctor import software
from tfps.doctor.observations import PACKAGES, PYTHON, Gpu, Gpus

Say = Callable[..., None]
CARD = Gpu(name="NVIDIA H100 80GB HBM3", driver="550.54.15", memory_bytes=81559 << 20)
LISTING = "NVIDIA H100 80GB HBM3, 550.54.15, 81559\n"


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Have nvidia-smi and TensorFlow say something."""

    def program(
        nvidia_smi: str, *, code: int = 0, tensorflow: str = "", stuck: bool = False
    ) -> None:
        def run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
            if stuck:
                raise subprocess.TimeoutExpired(command, timeout_s)
            said = nvidia_smi if command[0].endswith("nvidia-smi") else tensorflow
            return subprocess.CompletedProcess(command, code, stdout=said, stderr="")

        monkeypatch.setattr(software, "_run", run)
        monkeypatch.setattr(software.shutil, "which", lambda name: f"/usr/bin/{name}")

    return program


def test_a_listing_is_read() -> None:
    assert software.parse_gpus(LISTING + "GB10, Thor, 580.1, [N/A]\n") == (
        CARD,
        Gpu(name="GB10, Thor", driver="580.1", memory_bytes=0),
    )


def test_no_nvidia_smi_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software.shutil, "which", lambda name: None)
    assert software.find_gpus(ask_tensorflow=True, environ={}) == Gpus()


def test_tensorflow_says_how_many_it_can_use(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    say(LISTING, tensorflow="a remark\ngpus 1\n")
    found = software.find_gpus(ask_tensorflow=True, environ={})
    assert (found.listed, found.usable) == ((CARD,), 1)
    assert "asking TensorFlow" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["", "no module named tensorflow", "gpus many"])
def test_a_tensorflow_that_does_not_say_it_can_use_none(answer: str, say: Say) -> None:
    say(LISTING, tensorflow=answer)
    found = software.find_gpus(ask_tensorflow=True, environ={})
    assert found.usable == 0
    assert any("cudnn" in name for name in found.missing)


@pytest.mark.parametrize("devices", ["-1", ""])
def test_hidden_gpus_are_not_asked_for(devices: str, say: Say) -> None:
    say(LISTING, tensorflow="gpus 1")
    found = software.find_gpus(ask_tensorflow=True, environ={"CUDA_VISIBLE_DEVICES": devices})
    assert found == Gpus(listed=(CARD,), hidden=True)


def test_other_tasks_do_not_ask_tensorflow(say: Say) -> None:
    say(LISTING, tensorflow="gpus 1")
    assert software.find_gpus(ask_tensorflow=False, environ={}) == Gpus(listed=(CARD,))


def test_a_failing_or_odd_or_stuck_nvidia_smi_is_told(say: Say) -> None:
    say("No devices were found\n", code=6)
    assert software.find_gpus(ask_tensorflow=True, environ={}).fault == "No devices were found"
    say("what is this")
    assert "is not a name" in software.find_gpus(ask_tensorflow=True, environ={}).fault
    say("", stuck=True)
    assert "timed out" in software.find_gpus(ask_tensorflow=True, environ={}).fault


def test_all_packages_have_a_version_here_and_most_a_range() -> None:
    assert set(software.installed_versions()) == {PYTHON, *PACKAGES}
    supported = software.supported_versions()
    assert supported["Python"].startswith(">=3.")
    assert "," in supported["Keras"]
    assert "," in supported["TensorFlow"]
    assert "numpy" not in supported


def test_cuda_packages_are_known_by_tensorflows_own_metadata() -> None:
    assert all(name.startswith("nvidia-") for name in software._missing_cuda_packages())
