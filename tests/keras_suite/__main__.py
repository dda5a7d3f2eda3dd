"""Run Keras's own tests under a strategy.

    python -m tests.keras_suite trainers --shards 2
    python -m tests.keras_suite trainers/trainer_test.py -k jit

Arguments are files and folders of Keras's source, options of this program, and pytest's own.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

_KERAS = importlib.util.find_spec("keras")  # not imported: it takes seconds
assert _KERAS is not None
assert _KERAS.origin is not None
SOURCE = Path(_KERAS.origin).parent / "src"
ROOT = Path(__file__).parents[2]
LIMIT_S = 120


def command(*arguments: str) -> list[str]:
    """Return the command that runs tests of Keras; a crash or hang ends one test.

    Args:
        arguments: files and folders of Keras's source, and pytest's options.
    """
    options = ["-q", "-p", "tests.keras_suite.plugin", "-p", "no:cacheprovider"]
    options += ["-c", os.devnull, "--rootdir", str(SOURCE), "-o", "python_files=*_test.py"]
    options += ["-n", "1", f"--timeout={LIMIT_S}", "--timeout-method=thread"]
    # os.path.exists: an expression of -k may be longer than a path can be.
    found = [os.path.exists(SOURCE / argument.partition("::")[0]) for argument in arguments]
    paths = [str(SOURCE / a) if is_path else a for a, is_path in zip(arguments, found, strict=True)]
    return [sys.executable, "-m", "pytest", *options, *paths]


def environment(*, shards: int, workers: int) -> dict[str, str]:
    """Return the environment that sets the numbers of shards and of workers."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    numbers = {"SHARDS": shards, "WORKERS": workers}
    return {"PYTHONPATH": path, **{f"TFPS_KERAS_SUITE_{n}": str(v) for n, v in numbers.items()}}


def main() -> int:
    """Run the tests, and return pytest's exit code."""
    parser = argparse.ArgumentParser(description="Run Keras's own tests under a strategy.")
    parser.add_argument("--shards", type=int, default=1, help="of each variable; 0 is plain Keras")
    parser.add_argument("--workers", type=int, default=2)
    known, rest = parser.parse_known_args()
    environ = {**os.environ, **environment(**vars(known))}
    return subprocess.run(command(*rest), env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
