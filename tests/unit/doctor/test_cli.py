"""`tfps doctor` on the command line: usage errors, a machine alone, and what it does without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tfps import cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--", "true"], "runs no program"),
        (["--timeout-s", "0"], "--timeout-s is 0; use more than 0"),
        (["--max-links", "-1"], "--max-links is -1; use 0 or more"),
    ],
)
def test_a_usage_error_says_what_to_do(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("tfps doctor: ")
    assert message in captured.err
    assert captured.out == ""


def test_every_fault_of_tf_config_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}}')
    assert cli.main(["doctor"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("tfps doctor: TF_CONFIG: ") for line in lines)


def test_a_machine_alone_is_checked_without_tensorflow(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from tfps.cli import main\n"
        "code = main(['doctor', '-o', 'json', *sys.argv[1:]])\n"
        "loaded = {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else code)"
    )
    command = [sys.executable, "-c", script, "--path", str(tmp_path / "none"), "--firewalled"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    content = json.loads(done.stdout)
    assert list(content["tasks"]) == ["this machine"]
    red = [one["says"] for one in content["findings"] if one["level"] == "red"]
    assert [says for says in red if "No such file or directory" in says]
