"""The chief as the first process of a container, to which the kernel passes few signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.cluster.processes import Processes, until
from tfps.cluster import addresses

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_chief_of_process_id_1_ends_on_sigterm(tmp_path: Path) -> None:
    chief, worker, ps = (f"127.0.0.1:{port}" for port in addresses.free_ports(3))
    cluster = {"chief": [chief], "worker": [worker], "ps": [ps]}
    processes = Processes(tmp_path)
    container = processes.start(
        [
            *("unshare", "--pid", "--fork", "--kill-child"),
            *(sys.executable, "-c", "import tfps; tfps.run(lambda: None)"),
        ],
        environment={
            "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "chief", "index": 0}})
        },
    )
    until(lambda: "waiting for worker 0" in processes.err())
    (init,) = psutil.Process(container.pid).children()
    os.kill(init.pid, signal.SIGTERM)
    assert container.wait(10) == 143
    processes.until_gone()
