"""TensorFlow's start-up messages: dropped, unless wanted; all else gets through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tfps import quiet

START_UP = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795267252.336268    2955 port.cc:153] oneDNN custom operations are on.",
]
PROBLEMS = [
    "W0000 00:00:1795267252.336268    2955 a.cc:1] a warning",
    "E0000 00:00:1795267252.336268    2955 b.cc:1] an error",
    "F0000 00:00:1795267252.336268    2955 c.cc:1] no AVX",
    "I think so",
]
WRITES = f"import os\nfor line in {START_UP + PROBLEMS}:\n    os.write(2, line.encode() + b'\\n')\n"


def run(
    folder: Path, tensorflow: str, script: str, level: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script with a made-up TensorFlow; return its output."""
    package = folder / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(tensorflow)
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{Path(quiet.__file__).parents[1]}"}
    environment.pop(quiet.LOG_LEVEL, None)
    if level is not None:
        environment[quiet.LOG_LEVEL] = level
    return subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("level", [None, "1", "2"])
def test_only_info_messages_are_dropped_from_the_import(tmp_path: Path, level: str | None) -> None:
    done = run(tmp_path, WRITES, "import tfps, tensorflow", level)
    assert done.stderr.splitlines() == PROBLEMS
    assert done.returncode == 0


def test_all_messages_are_shown_when_the_user_wants_them(tmp_path: Path) -> None:
    done = run(tmp_path, WRITES, "import tfps, tensorflow", quiet.EVERYTHING)
    assert done.stderr.splitlines() == START_UP + PROBLEMS


def test_messages_get_through_an_import_that_aborts(tmp_path: Path) -> None:
    done = run(tmp_path, WRITES + "os.abort()\n", "import tfps, tensorflow")
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.splitlines()[: len(PROBLEMS)] == PROBLEMS


def test_standard_error_is_the_processs_own_after_an_import_even_one_that_fails(
    tmp_path: Path,
) -> None:
    script = (
        "import os, tfps\n"
        "stderr = os.fstat(2)\n"
        "try:\n"
        "    import tensorflow\n"
        "except RuntimeError as error:\n"
        "    assert os.path.samestat(stderr, os.fstat(2))\n"
        "    print(error)\n"
    )
    done = run(tmp_path, WRITES + "raise RuntimeError('broken')\n", script)
    assert (done.stdout, done.returncode) == ("broken\n", 0)
    assert done.stderr.splitlines() == PROBLEMS


def test_tensorflow_and_child_processes_find_the_level(tmp_path: Path) -> None:
    tensorflow = f"import os\nlevel = os.environ[{quiet.LOG_LEVEL!r}]\n"
    script = (
        f"import os, tfps\nassert {quiet.LOG_LEVEL!r} not in os.environ\n"
        "import tensorflow\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('tensorflow').loader is tensorflow.__loader__\n"
        f"print(tensorflow.level, os.environ[{quiet.LOG_LEVEL!r}])"
    )
    assert run(tmp_path, tensorflow, script).stdout == "1 1\n"


def test_the_import_works_without_standard_error(tmp_path: Path) -> None:
    script = "import os, tfps\nos.close(2)\nimport tensorflow\nprint('done')"
    assert run(tmp_path, "", script).stdout == "done\n"
