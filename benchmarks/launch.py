"""Starts what a benchmark runs on: a cluster of processes, one in this process, or a process."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tfps
from tfps.cluster.embedded import embedded_cluster

T = TypeVar("T")


def on_local_cluster(measure: Callable[[], None], module: str, *, ps: int, workers: int) -> None:
    """Run `measure` on the chief of a local cluster, with workers of one thread each.

    In a process without TF_CONFIG this does not return: the process becomes `tfps local`, which
    starts the same command once per task, with its TF_CONFIG.

    Args:
        measure: Called on the chief.
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


def embedded_strategy(*, ps: int, workers: int, **arguments: Any) -> tfps.ParameterServerStrategy:
    """Return a strategy on the cluster inside this process; the first call starts the cluster.

    Args:
        ps: Number of parameter servers, the same in each call.
        workers: Number of workers, the same in each call.
        arguments: Arguments of `tfps.ParameterServerStrategy`.
    """
    embedded_cluster(num_ps=ps, num_workers=workers)
    return tfps.ParameterServerStrategy(**arguments)


def serves_text() -> bool:
    """Serve if this process is a worker or ps, and return whether it is one.

    It is for benchmarks whose chief reads much data first, and whose workers tokenize.
    """
    config = tfps.TFConfig.from_environment()
    if config is None or config.task.type == "chief":
        return False
    importlib.import_module("tensorflow_text")  # The ops that tokenize.
    tfps.run(lambda: None)
    return True


def checked(benchmark: str, check: Callable[[], T]) -> T:
    """Return the result of a check; a ValueError ends the process with code 2.

    Args:
        benchmark: Name of the benchmark, which its messages begin with.
        check: Raises ValueError if an argument of the user cannot be used.
    """
    try:
        return check()
    except ValueError as error:
        print(f"{benchmark}: {error}", file=sys.stderr)
        sys.exit(2)


def in_new_process(module: str, arguments: Sequence[str]) -> Any:
    """Run `python -m MODULE ARGUMENTS` and return the JSON value that it prints.

    Raises:
        RuntimeError: The process failed; its standard error has been shown.
    """
    command = [sys.executable, "-m", module, *arguments]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {done.returncode}.")
    return json.loads(done.stdout)
