"""The contenders: the project's variants, its peers and the ceiling, with their commands."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from benchmarks import encoder
from benchmarks.compare.cases import TABLE_ROWS, Chosen, ModelName
from benchmarks.compare.driver import Patience

Processes = Literal["cluster", "pair", "one"]

NUM_PS = 2
NUM_WORKERS = 2
_BUCKET_BYTES = 1 << 20
REQUIREMENTS = {"tf_keras": "tf_keras>=2.21,<2.22", "torch": "torch>=2.13"}
_VERSIONS = """
import importlib.metadata, importlib.util, json, sys
found = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
print(json.dumps({name: importlib.metadata.version(name) for name in found}))
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to train the model.

    Attributes:
        name: What the command line calls it.
        family: What a target calls it and those like it; the best of them counts.
        program: A module of this folder.
        options: The program's arguments, beside those that all take.
        processes: A chief, 2 workers of one thread and 2 ps; two processes of one thread; or one
            of two threads.
        steps_per_execution: Steps per dispatch.
        duplex: Whether a step's pulls and pushes run at the same time.
        package: What must be installed; None for what the project itself needs.
    """

    name: str
    family: str
    program: str
    options: tuple[str, ...] = ()
    processes: Processes = "cluster"
    steps_per_execution: int = 1
    duplex: bool = False
    package: str | None = None


def _tfps() -> Iterable[Contender]:
    buckets = ("--bucket-bytes", str(_BUCKET_BYTES))
    ways = {
        "": (),
        "-buckets": buckets,
        "-overlap": ("--overlap",),
        "-overlap-buckets": ("--overlap", *buckets),
    }
    for wire, together, way in itertools.product(get_args(encoder.Wire), (1, 10, 32), ways):
        if way and together == 1:
            continue  # There is nothing to overlap with in a dispatch of one step.
        yield Contender(
            name=_named(f"tfps-{wire}", together) + way,
            family=f"tfps {wire}",
            program="tfps_fit",
            options=("--wire", wire, "--steps-per-execution", str(together), *ways[way]),
            duplex="--bucket-bytes" in ways[way],
            steps_per_execution=together,
        )


def _tf_keras() -> Iterable[Contender]:
    for together in (1, 10, 32):
        yield Contender(
            name=_named("tf_keras", together),
            family="tf_keras",
            program="tf_keras_fit",
            options=("--steps-per-execution", str(together)),
            steps_per_execution=together,
            package="tf_keras",
        )


def _torch() -> Iterable[Contender]:
    for name, hook in (("", "plain"), ("-bf16", "bf16"), ("-powersgd", "powersgd")):
        yield Contender(
            name=f"torch-ddp{name}",
            family="torch DDP" if hook == "plain" else "torch hook",
            program="torch_ddp",
            options=("--hook", hook),
            processes="pair",
            package="torch",
        )


def _named(name: str, steps_per_execution: int) -> str:
    return name if steps_per_execution == 1 else f"{name}-x{steps_per_execution}"


ALL = {
    contender.name: contender
    for contender in (
        *_tfps(),
        *_tf_keras(),
        Contender(name="keras-loop", family="Keras 3 loop", program="keras_loop"),
        Contender(
            name="keras-fit", family="Keras 3, one process", program="keras_fit", processes="one"
        ),
        *_torch(),
        Contender(name="ceiling", family="ceiling", program="ceiling", processes="pair"),
    )
}

# Those of one sitting live side by side, five processes each where there is a cluster: 12 to 17 GB.
# A target compares contenders of the same sitting.
DEFAULT: Mapping[ModelName, tuple[tuple[str, ...], ...]] = {
    "encoder": (
        (
            "tfps-float32-x10",
            "tfps-bfloat16-x10",
            "tfps-bfloat16-x10-overlap",
            "tf_keras",
            "tf_keras-x10",
            "torch-ddp",
            "ceiling",
        ),
        (
            "tfps-float32",
            "tfps-bfloat16",
            "tfps-int8-x10",
            "tfps-topk-x10",
            "keras-loop",
            "keras-fit",
            "torch-ddp-bf16",
            "torch-ddp-powersgd",
        ),
    ),
    "recommender": (
        ("tfps-float32-x10", "tfps-bfloat16-x10", "tf_keras", "tf_keras-x10"),
        ("tfps-float32-x10", "keras-loop", "torch-ddp", "ceiling"),
    ),
    "linear": (
        (
            "tfps-float32",
            "tfps-float32-x32",
            "tfps-float32-x32-overlap",
            "tf_keras",
            "tf_keras-x32",
            "keras-loop",
            "keras-fit",
            "torch-ddp",
            "ceiling",
        ),
    ),
}

STEPS: Mapping[ModelName, int] = {"encoder": 80, "recommender": 160, "linear": 1024}
# Where a step takes this many times longer than others', a turn has as many fewer.
_SLOWER = {("recommender", "keras-loop"): 40, ("recommender", "keras-fit"): 20}


def steps_of(contender: Contender, model: ModelName, steps: int) -> int:
    """Return the steps of a contender's turn if others have `steps`; at least 2."""
    return max(2, steps // _SLOWER.get((model, contender.name), 1))


def sittings(names: Sequence[str], model: ModelName) -> list[list[Contender]]:
    """Return the sittings: of the named contenders, or of the model's default ones.

    Raises:
        ValueError: A name is unknown.
    """
    if unknown := [name for name in names if name not in ALL]:
        raise ValueError(f"--contenders: {', '.join(unknown)} is not among {', '.join(ALL)}.")
    together = (tuple(dict.fromkeys(names)),) if names else DEFAULT[model]
    return [[ALL[name] for name in sitting] for sitting in together]


def commands(contender: Contender, told: Chosen, python: Path, port: int) -> list[list[str]]:
    """Return the commands that a contender consists of.

    Args:
        contender: Whom to start.
        told: What every contender is told.
        python: The interpreter that runs it.
        port: A free port of this machine, for those that need one.
    """
    own = program(contender, told, python)
    if contender.processes == "cluster":
        local = ["--ps", str(NUM_PS), "--workers", str(NUM_WORKERS), "--threads-per-worker", "1"]
        return [[str(python), "-m", "tfps", "local", *local, "--", *own]]
    if contender.program == "torch_ddp":
        ranks = range(NUM_WORKERS)
        return [[*own, "--rank", str(rank), "--port", str(port)] for rank in ranks]
    return [own] * (NUM_WORKERS if contender.processes == "pair" else 1)


def program(contender: Contender, told: Chosen, python: Path) -> list[str]:
    """Return the command that each process, or each task of its cluster, runs."""
    command = [str(python), "-m", f"benchmarks.compare.{contender.program}"]
    command += ["--model", told.model, "--rows", str(told.rows), "--steps", str(told.steps)]
    return command + list(contender.options)


def environment(contender: Contender, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a contender's processes; `tfps local` adds to that of its tasks."""
    settings = {
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if contender.processes != "cluster":
        threads = "1" if contender.processes == "pair" else str(NUM_WORKERS)
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        settings |= dict.fromkeys(names, threads)
    others = {"TF_CONFIG", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"}
    kept = {name: value for name, value in inherited.items() if name not in others}
    if contender.program != "tfps_fit":
        # A peer has no part in what `tfps local` sets for the project's own tasks.
        settings["GLIBC_TUNABLES"] = inherited.get("GLIBC_TUNABLES", "")
    return kept | settings


def installed(python: Path) -> dict[str, str]:
    """Return the versions of the peers' packages that an interpreter finds.

    Raises:
        RuntimeError: It does not run.
    """
    command = [str(python), "-c", _VERSIONS, *REQUIREMENTS]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"--peers-python: {python} does not run: {error}") from error
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def missing(contender: Contender, versions: Mapping[str, str]) -> str:
    """Say what to install for a contender; empty if nothing is missing."""
    if contender.package is None or contender.package in versions:
        return ""
    requirement = REQUIREMENTS[contender.package]
    return f"missing: pip install '{requirement}', or name an interpreter with --peers-python"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SittingArguments:
    """Arguments of a command that starts contenders."""

    rows: int = TABLE_ROWS
    """Rows of the recommender's table, of 16 float32 values each."""
    peers_python: Path = Path(sys.executable)
    """The interpreter that runs tf_keras and PyTorch."""
    least_memory_gib: float = 3.0
    """Start nobody when the machine has less memory available."""
    start_timeout_s: float = 600.0
    """How long a contender may take until its model is made."""
    turn_timeout_s: float = 600.0
    """How long a turn may take."""
    json: Path | None = None
    """A file to write the numbers to."""

    @property
    def patience(self) -> Patience:
        """How long a contender may take."""
        return Patience(start_s=self.start_timeout_s, turn_s=self.turn_timeout_s)
