"""Run a recipe in a process that ends when it imports TensorFlow or Keras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
_GUARD = """
import sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "keras_nlp", "tensorflow_text"):
            sys.exit(f"imported {name}")
sys.meta_path.insert(0, Guard())
from models import RECIPE
RECIPE.main()
"""


def run_guarded(
    recipe: str, folder: Path, *arguments: str, task: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a recipe's command line in a folder, as one task of a cluster if one is given."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if task:
        cluster = {"chief": ["a:1"], "worker": ["a:2"], "ps": ["a:3"]}
        environment["TF_CONFIG"] = json.dumps(
            {"cluster": cluster, "task": {"type": task, "index": 0}}
        )
    return subprocess.run(
        [sys.executable, "-c", _GUARD.replace("RECIPE", recipe), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
