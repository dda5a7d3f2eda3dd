"""What must stay light: the package itself, its command line, and a cluster's description."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tfps.cluster import addresses

HEAVY = {"keras", "keras_hub", "keras_nlp", "matplotlib", "tensorflow", "tensorflow_text"}


@pytest.mark.parametrize(
    "statement",
    [
        "import tfps",
        "import tfps.cli",
        "import tfps.errors",
        "from tfps.cluster.tf_config import TFConfig",
        "import tfps.doctor.run",
        "import tfps.jobs.file, tfps.jobs.rendering",
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


@pytest.mark.parametrize(
    "target", ["kubernetes", "jobset", "tfjob", "vertex", "local", "tf-config"]
)
def test_rendering_leaves_tensorflow_and_the_clients_of_platforms_alone(target: str) -> None:
    spec = Path(__file__).parents[2] / "cluster_specs" / "vertex_2ps_4gpu_workers.yaml"
    loaded = _modules_after(
        "import contextlib, sys, tfps.cli\n"
        "with contextlib.redirect_stdout(sys.stderr):\n"
        f"    tfps.cli.main(['render', '-f', {str(spec)!r}, '--target', {target!r}])"
    )
    assert "tfps.jobs.spec" in loaded
    assert not (HEAVY | {"kubernetes", "google.cloud.aiplatform_v1", "google.auth"}) & loaded


def test_a_server_leaves_keras_alone() -> None:
    types, ports = ("chief", "ps", "worker"), addresses.free_ports(3)
    cluster = {kind: [f"localhost:{port}"] for kind, port in zip(types, ports, strict=True)}
    loaded = _modules_after(
        "import tfps\n"
        "from tfps.cluster.server import start_server\n"
        f"cluster, task = tfps.ClusterSpec(**{cluster}), tfps.Task(type='ps', index=0)\n"
        "server = start_server(tfps.TFConfig(cluster=cluster, task=task))\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('keras')"
    )
    assert "tensorflow" in loaded
    assert "keras" not in loaded


def _modules_after(statement: str) -> set[str]:
    """Run `statement` in a new interpreter; return the modules that it has then loaded."""
    report = "import sys\nprint(*sys.modules)"
    output = subprocess.check_output([sys.executable, "-c", f"{statement}\n{report}"], text=True)
    return set(output.split())
