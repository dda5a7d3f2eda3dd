"""How a benchmark gets a cluster of real processes, or a process to itself."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tfps

T = TypeVar("T")


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


def serves_text() -> bool:
    """Serve if this process is a worker or ps, and return whether it is one.

    For a benchmark whose chief has much to read before, and whose workers tokenize.
    """
    config = tfps.TFConfig.from_environment()
    if config is None or config.task.type == "chief":
        return False
    importlib.import_module("tensorflow_text")  # The ops that tokenize.
    tfps.run(lambda: None)
    return True


def checked(benchmark: str, check: Callable[[], T]) -> T:
    """Return what a check returns; a fault ends the process with code 2.

    Args:
        benchmark: Whose messages begin with its name.
        check: Raises ValueError at a fault of what the user gave.
    """
    try:
        return check()
    except ValueError as error:
        print(f"{benchmark}: {error}", file=sys.stderr)
        sys.exit(2)


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
