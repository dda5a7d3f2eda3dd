"""Run Keras's own tests under a strategy.

    python -m tests.keras_suite trainers --shards 2
    python -m tests.keras_suite trainers/trainer_test.py -k jit

Arguments are files and folders of Keras's source, options of this program, and pytest's own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import keras

SOURCE = Path(keras.__file__).parent / "src"
ROOT = Path(__file__).parents[2]
LIMIT_S = 120


def command(*arguments: str) -> list[str]:
    """Return the command that runs tests of Keras; a crash or hang ends one test."""
    options = ["-q", "-p", "tests.keras_suite.plugin", "-p", "no:cacheprovider"]
    options += ["-c", os.devnull, "--rootdir", str(SOURCE), "-o", "python_files=*_test.py"]
    options += ["-n", "1", f"--timeout={LIMIT_S}", "--timeout-method=thread"]
    return [sys.executable, "-m", "pytest", *options, *arguments]


def environment(shards: int) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"TFPS_KERAS_SUITE_SHARDS": str(shards), "PYTHONPATH": path}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=1, help="0 is plain Keras")
    known, rest = parser.parse_known_args()
    arguments = [str(SOURCE / a) if (SOURCE / a).exists() else a for a in rest]
    process = subprocess.run(
        command(*arguments), env={**os.environ, **environment(known.shards)}, check=False
    )
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
