"""models/lib/recipe.py: what happens before training, and whether a run starts or resumes."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.lib import recipe
from models.lib.inputs import InputError
from models.lib.run_folder import RunFolder
from models.lib.settings import RunSettings
from tests.unit.models.guard import ROOT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    name: str = "mine"
    epochs: int = 2
    learning_rate: float = 0.1
    data: Path = Path("a.csv")
    width: int = 8


@dataclasses.dataclass(frozen=True)
class Data:
    digest: str = "abc"

    def __str__(self) -> str:
        return "7 examples"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(settings: Settings, data: Data, folder: RunFolder) -> None:
    print(f"trains on {data}")
    recipe.finish(folder, "accuracy 0.9")


def start(settings: Settings, data: Data | None = None) -> Callable[[], None]:
    return recipe.start_or_resume(settings, data or Data(), train)


def no_evaluation(settings: Settings) -> Any:
    raise AssertionError("evaluates")


def save_epochs(epochs: int, settings: Settings | None = None) -> RunFolder:
    folder = RunFolder(Path("runs/mine"))
    folder.backup_folder.mkdir(parents=True, exist_ok=True)
    (folder.backup_folder / "training_metadata.json").write_text(json.dumps({"epoch": epochs}))
    rows = "".join(f"{epoch},1.0\n" for epoch in range(epochs + 1))
    folder.history_file.write_text(f"epoch,loss\n{rows}")
    return folder


def test_first_start_introduces_the_data_and_claims_the_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    resumed: Any = start(Settings())
    assert resumed.func is train
    assert capsys.readouterr().out == "7 examples\n"
    config = json.loads(Path("runs/mine/config.json").read_text())
    wire = {"pull": "float32", "push": "float32", "overlap": False}
    own = {"width": 8, "learning_rate": 0.1, "data": "abc"}
    assert config["identity"] == {**own, **wire, "update": "asynchronous"}
    assert config["settings"]["data"] == "a.csv"
    assert set(config["versions"]) == {"keras", "tensorflow"}


def test_stopped_run_resumes_and_drops_epochs_that_are_trained_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start(Settings())
    folder = save_epochs(1)
    resumed: Any = start(Settings())
    assert resumed.func is train
    assert "runs/mine: resuming after epoch 1 of 2." in capsys.readouterr().out
    assert [row["epoch"] for row in folder.history()] == [0]


def test_finished_run_prints_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    start(Settings())()
    save_epochs(2)
    capsys.readouterr()
    start(Settings())()
    output = capsys.readouterr().out
    assert "runs/mine is finished: 2 epochs.\naccuracy 0.9\nruns/mine/ has checkpoints/" in output
    assert "more --epochs than 2" in output
    assert "trains" not in output


def test_run_with_all_epochs_but_no_result_resumes() -> None:
    start(Settings())
    save_epochs(2)
    resumed: Any = start(Settings())
    assert resumed.func is train


def test_more_epochs_go_on_and_take_the_old_result_away() -> None:
    start(Settings())()
    folder = save_epochs(2)
    resumed: Any = start(Settings(epochs=3))
    assert resumed.func is train
    assert not folder.result_file.exists()


def test_other_data_are_refused() -> None:
    start(Settings())
    with pytest.raises(InputError, match="data: 'abc' then, 'xyz' now"):
        start(Settings(), Data("xyz"))


def test_check_only_ends_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        start(Settings(check_only=True))
    assert ended.value.code == 0
    assert not list(tmp_path.iterdir())


def test_run_ends_with_2_and_the_recipes_name_on_a_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(settings: Settings) -> Callable[[], None]:
        raise InputError("a.csv: is empty.")

    for settings, fault in (
        (Settings(), "a.csv: is empty."),
        (Settings(width=0), "--width is 0, but must be at least 1."),
    ):
        with pytest.raises(SystemExit) as ended:
            recipe.run("mine", settings, refuse, no_evaluation)
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"mine: {fault}\n"


def test_run_calls_the_prepared_function(capsys: pytest.CaptureFixture[str]) -> None:
    def prepare(settings: Settings) -> Callable[[], None]:
        return functools.partial(print, settings.width)

    recipe.run("mine", Settings(), prepare, no_evaluation)
    assert capsys.readouterr().out == "8\n"


def test_runs_cannot_lie_in_a_bucket(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TFPS_CHECKPOINT_DIR", "gs://mine/runs")
    with pytest.raises(SystemExit) as ended:
        recipe.run("mine", Settings(), no_evaluation, no_evaluation)
    assert ended.value.code == 2
    assert "mine: TFPS_CHECKPOINT_DIR is 'gs://mine/runs', but a rec" in capsys.readouterr().err


def test_a_second_evaluator_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = {"chief": ["a:1"], "worker": ["a:2"], "ps": ["a:3"]}
    task = {"type": "evaluator", "index": 1}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(SystemExit) as ended:
        recipe.run("mine", Settings(), no_evaluation, no_evaluation)
    assert ended.value.code == 2
    assert "mine: evaluator 1 has nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "runs"), [({}, "runs"), ({"TFPS_CHECKPOINT_DIR": "/shared"}, "/shared")]
)
def test_environment_sets_the_folder_of_runs(environment: dict[str, str], runs: str) -> None:
    code = "from models.lib import recipe; print(recipe.RUNS)"
    command = [sys.executable, "-c", code]
    environment = {**environment, "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output(command, env=environment, text=True) == f"{runs}\n"
