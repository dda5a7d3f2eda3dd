"""How a benchmark gets a cluster of real processes, or a process to itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tfps


def on_local_cluster(measure: Callable[[], None], module: str, *, ps: int, workers: int) -> None:
    """Run `measure` on the chief of a local cluster, with workers of one thread each.

    In a process without TF_CONFIG this does not return: the process becomes `tfps local`, which
    starts the same command once per task, with its TF_CONFIG.

    Args:
        measure: What the chief does.
        module: The benchmark, as in `python -m MODULE`.
        ps: Number of parameter servers.
        workers: Number of workers.
    """
    if tfps.TFConfig.from_environment() is not None:
        tfps.run(measure)
        return
    local = ["tfps", "local", "--ps", str(ps), "--workers", str(workers)]
    local += ["--threads-per-worker", "1", "--", sys.executable, "-m", module, *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, "-m", *local])


def in_new_process(module: str, arguments: Sequence[str]) -> Any:
    """Run `python -m MODULE ARGUMENTS` and return what it printed, a JSON value.

    Raises:
        RuntimeError: The process failed; its standard error has been shown.
    """
    command = [sys.executable, "-m", module, *arguments]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {done.returncode}.")
    return json.loads(done.stdout)
