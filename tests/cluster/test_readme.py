"""The README's script does what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfps

README = Path(__file__).parents[2] / "README.md"


def code_of_readme() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.timeout(120)
def test_the_script_trains_on_the_embedded_cluster(tmp_path: Path) -> None:
    code, *_ = code_of_readme()
    assert len(code.splitlines()) <= 25
    script = tmp_path / "shelves.py"
    script.write_text(code)
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=110, check=False
    )
    assert ended.returncode == 0, ended.stderr
    accuracies = [float(value) for value in re.findall(r"accuracy: ([\d.]+)", ended.stdout)]
    assert accuracies[0] < 0.2 < 0.9 < accuracies[-1]


@pytest.mark.usefixtures("make_strategy")
def test_the_strategies_with_codecs_and_with_a_policy_can_be_made() -> None:
    _, *codes = code_of_readme()
    assert len(codes) == 2
    for code in codes:
        names = {"tfps": tfps}
        exec(code, names)
        assert isinstance(names["strategy"], tfps.ParameterServerStrategy)
