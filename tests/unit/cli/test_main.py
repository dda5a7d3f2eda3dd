"""The command line: help, usage errors, and what it does without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tfps import cli

LOCAL = ["local", "--ps", "1", "--workers", "1"]


def test_help_names_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "local" in shown
    assert "task" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-subcommand"],
        ["local", "--ps", "1", "--", "true"],
        ["local", "--ps", "one", "--workers", "1", "--", "true"],
        [*LOCAL, "--no-such-option", "--", "true"],
        ["task", "--chief-timeout-s", "soon"],
    ],
)
def test_wrong_arguments_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err != ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (LOCAL, "no program to run. Give one after --"),
        ([*LOCAL, "--"], "no program to run. Give one after --"),
        ([*LOCAL, "--", "no-such-program"], "program 'no-such-program' was not found"),
        (["local", "--ps", "0", "--workers", "1", "--", "true"], "--ps is 0, but must be at least"),
        (["local", "--ps", "1", "--workers", "-2", "--", "true"], "--workers is -2"),
        ([*LOCAL, "--threads-per-worker", "0", "--", "true"], "--threads-per-worker is 0"),
        (
            [*LOCAL, "--evaluators", "-1", "--", "true"],
            "--evaluators is -1, but must be at least 0",
        ),
        (["task", "--", "true"], "runs no program"),
        (["task", "--chief-timeout-s", "0"], "--chief-timeout-s is 0; use more than 0"),
        (["task"], "TF_CONFIG is not set. Set it"),
    ],
)
def test_a_usage_error_says_what_to_do(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_script_that_cannot_be_executed_gets_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    assert cli.main([*LOCAL, "--", str(script)]) == 2
    assert f"Write python {script}" in capsys.readouterr().err


def test_task_lists_the_faults_of_tf_config(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}}')
    assert cli.main(["task"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("tfps task: TF_CONFIG: ") for line in lines)


def test_task_is_not_for_a_chief(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "TF_CONFIG",
        '{"cluster": {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}, '
        '"task": {"type": "chief", "index": 0}}',
    )
    assert cli.main(["task"]) == 2
    assert "chief 0 cannot serve" in capsys.readouterr().err


def test_the_command_line_starts_without_tensorflow() -> None:
    script = (
        "import sys, tfps.cli, tfps.cluster.run, tfps.cluster.embedded\n"
        "loaded = {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_package_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tfps", "local", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "-- PROGRAM ARGS" in " ".join(done.stdout.split())
