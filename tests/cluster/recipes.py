"""Run a recipe as its users do, on the cluster inside its process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_recipe(name: str, folder: Path, *arguments: str) -> str:
    """Run `python -m models.NAME` in a folder; return what it prints, and fail where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", f"models.{name}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def row(said: str, name: str) -> list[float]:
    """Return the numbers that a recipe's table of results has for a name."""
    (numbers,) = re.findall(rf"^{name} +([-+.e\d ]+)$", said, re.MULTILINE)
    return [float(number) for number in numbers.split()]
