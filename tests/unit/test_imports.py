"""What must stay light: the package itself, its command line, and a cluster's description."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"keras", "keras_hub", "keras_nlp", "matplotlib", "tensorflow", "tensorflow_text"}


@pytest.mark.parametrize(
    "statement",
    [
        "import tfps",
        "import tfps.cli",
        "import tfps.errors",
        "from tfps.cluster.tf_config import TFConfig",
    ],
)
def test_import_leaves_tensorflow_alone(statement: str) -> None:
    loaded = _modules_after(statement)
    assert "tfps" in loaded
    assert not HEAVY & loaded


def test_help_leaves_tensorflow_alone() -> None:
    loaded = _modules_after(
        "import contextlib, sys, tfps.cli\n"
        "sys.argv = ['tfps', '--help']\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):\n"
        "    tfps.cli.main()"
    )
    assert "tfps.cli" in loaded
    assert not HEAVY & loaded


def _modules_after(statement: str) -> set[str]:
    """Run `statement` in a new interpreter; return the modules that it has then loaded."""
    report = "import sys\nprint(*sys.modules)"
    output = subprocess.check_output([sys.executable, "-c", f"{statement}\n{report}"], text=True)
    return set(output.split())
