"""The GPUs of a machine, with an nvidia-smi and a TensorFlow that are made up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tfps.doctor import gpus
from tfps.doctor.facts import Gpu, Gpus

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

        monkeypatch.setattr(gpus, "_run", run)
        monkeypatch.setattr(gpus.shutil, "which", lambda name: f"/usr/bin/{name}")

    return program


def test_a_listing_is_read() -> None:
    assert gpus.parse(LISTING + "GB10, Thor, 580.1, [N/A]\n") == (
        CARD,
        Gpu(name="GB10, Thor", driver="580.1", memory_bytes=0),
    )


def test_no_nvidia_smi_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus.shutil, "which", lambda name: None)
    assert gpus.look(ask_tensorflow=True, environ={}) == Gpus()


def test_tensorflow_says_how_many_it_can_use(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    say(LISTING, tensorflow="a remark\ngpus 1\n")
    found = gpus.look(ask_tensorflow=True, environ={})
    assert (found.listed, found.usable) == ((CARD,), 1)
    assert "asking TensorFlow" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["", "no module named tensorflow", "gpus many"])
def test_a_tensorflow_that_does_not_say_it_can_use_none(answer: str, say: Say) -> None:
    say(LISTING, tensorflow=answer)
    found = gpus.look(ask_tensorflow=True, environ={})
    assert found.usable == 0
    assert any("cudnn" in name for name in found.missing)


@pytest.mark.parametrize("devices", ["-1", ""])
def test_hidden_gpus_are_not_asked_for(devices: str, say: Say) -> None:
    say(LISTING, tensorflow="gpus 1")
    found = gpus.look(ask_tensorflow=True, environ={"CUDA_VISIBLE_DEVICES": devices})
    assert found == Gpus(listed=(CARD,), hidden=True)


def test_other_tasks_do_not_ask_tensorflow(say: Say) -> None:
    say(LISTING, tensorflow="gpus 1")
    assert gpus.look(ask_tensorflow=False, environ={}) == Gpus(listed=(CARD,))


def test_a_failing_or_odd_or_stuck_nvidia_smi_is_told(say: Say) -> None:
    say("No devices were found\n", code=6)
    assert gpus.look(ask_tensorflow=True, environ={}).fault == "No devices were found"
    say("what is this")
    assert "is not a name" in gpus.look(ask_tensorflow=True, environ={}).fault
    say("", stuck=True)
    assert "timed out" in gpus.look(ask_tensorflow=True, environ={}).fault
