"""models/gpt_lm.py: what is checked before TensorFlow, and what a run says of itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from models import gpt_lm
from models.gpt_lm import Settings
from models.lib import recipe
from models.lib.run_folder import RunFolder
from tests.unit.models.guard import run_guarded


@pytest.mark.parametrize("task", [None, "chief"])
def test_bad_data_ends_with_2_before_tensorflow(tmp_path: Path, task: str | None) -> None:
    done = run_guarded("gpt_lm", tmp_path, "--data", "nothing*", task=task)
    assert done.returncode == 2
    assert done.stderr.startswith("gpt_lm: --data 'nothing*': no file matches")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_worker_leaves_bad_data_to_the_chief(tmp_path: Path) -> None:
    done = run_guarded("gpt_lm", tmp_path, "--data", "nothing*", task="worker")
    assert done.returncode == 1
    assert done.stderr.strip() == "imported tensorflow_text"


def test_bad_setting_ends_with_2(tmp_path: Path) -> None:
    done = run_guarded("gpt_lm", tmp_path, "--epochs", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gpt_lm: --epochs is 0, but must be at least 1.\n"


def test_unknown_option_ends_with_2(tmp_path: Path) -> None:
    assert run_guarded("gpt_lm", tmp_path, "--no-such-option", "1").returncode == 2


def test_check_only_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text\n" * 5000)
    done = run_guarded("gpt_lm", tmp_path, "--data", "*.txt", "--check-only")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A run that was started, by settings that `prepare` took."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("".join(f"some text {n}\n" for n in range(5000)))
    settings = Settings(data="*.txt", name="mine", vocabulary_size=512)
    gpt_lm.prepare(settings)
    return settings


def test_preparing_claims_the_run_folder(prepared: Settings) -> None:
    folder = RunFolder(Path("runs/mine"))
    config = json.loads(folder.config_file.read_text())
    assert config["identity"]["width"] == prepared.width
    assert config["settings"]["data"] == "*.txt"
    assert set(config["versions"]) >= {"keras", "tensorflow"}
    assert (folder.path / "vocabulary.model").exists()


def test_other_settings_for_the_same_name_end_with_2(
    prepared: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(prepared, width=64)
    with pytest.raises(SystemExit) as ended:
        recipe.run("gpt_lm", other, gpt_lm.prepare, gpt_lm.evaluate)
    assert ended.value.code == 2
    assert "width: 128 then, 64 now" in capsys.readouterr().err


def finish(settings: Settings, epochs: int) -> RunFolder:
    folder = RunFolder(Path("runs") / settings.name)
    folder.backup_folder.mkdir(parents=True)
    (folder.backup_folder / "training_metadata.json").write_text(json.dumps({"epoch": epochs}))
    folder.history_file.write_text(
        f"epoch,loss,baseline_perplexity,val_perplexity\n{epochs - 1},4.5,360,80\n"
    )
    return folder


def test_finished_run_prints_its_result(
    prepared: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finish(prepared, prepared.epochs)
    (folder.path / "sample.txt").write_text("text")
    call = gpt_lm.prepare(prepared)
    capsys.readouterr()
    call()
    output = capsys.readouterr().out
    assert "runs/mine is finished: 4 epochs." in output
    assert "held-out perplexity 80.0 after 4 epochs; the unigram distribution has 360.0" in output
    assert "more --epochs than 4" in output


def test_run_without_a_sample_resumes(prepared: Settings) -> None:
    finish(prepared, prepared.epochs)
    assert gpt_lm.prepare(prepared).func is gpt_lm.train


def test_stopped_run_resumes(prepared: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    finish(prepared, 2)
    assert gpt_lm.prepare(prepared).func is gpt_lm.train
    assert "runs/mine: resuming after epoch 2 of 4." in capsys.readouterr().out
