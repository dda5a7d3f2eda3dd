"""Run a recipe as users do, on a cluster inside its process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_recipe(name: str, folder: Path, *arguments: str) -> str:
    """Run `python -m models.NAME` in a folder, and return its standard output."""
    run = subprocess.run(
        [sys.executable, "-m", f"models.{name}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, f"exit status {run.returncode}\n{run.stdout}\n{run.stderr}"
    return run.stdout


def row(output: str, name: str) -> list[float]:
    """Return the numbers in the row of a name, from a recipe's table of results."""
    (numbers,) = re.findall(rf"^{name} +([-+.e\d ]+)$", output, re.MULTILINE)
    return [float(number) for number in numbers.split()]
