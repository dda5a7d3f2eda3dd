"""The server of a worker or ps: it runs until the chief ends or disappears, or until a signal."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from tfps.cluster import addresses
from tfps.cluster.signals import SignalReceived, raise_on_signals
from tfps.cluster.tf_config import TFConfig
from tfps.errors import ServerStartError, TaskTypeError
from tfps.log import say

if TYPE_CHECKING:
    import tensorflow as tf

CHIEF_GONE = 1
_LEAST_INTER_OP_THREADS = 4
_LEAST_LINGER_S = 0.5
_LINGER_S = 4.0


def serve(config: TFConfig, *, chief_timeout_s: float = 300.0) -> int:
    """Run the server of a worker or ps until it is told to end.

    Call this from the main thread of a process that has not used a GPU yet.

    Args:
        config: The cluster and which of its tasks this process is.
        chief_timeout_s: End when nothing has listened at the chief's address for this many seconds,
            including the time before the chief starts. Choose more than the chief needs from its
            start until it has made its strategy.

    Returns:
        The exit code for the process: 0 after the chief's normal end, 1 if the chief is gone, and
        128 plus the signal's number (143 for SIGTERM), as a shell reports it.

    Raises:
        TaskTypeError: The task is a chief or an evaluator.
        ServerStartError: The server could not start, e.g. because its port is taken.
    """
    if config.task.type not in ("worker", "ps"):
        raise TaskTypeError(
            f"TF_CONFIG: task {config.task} cannot serve; only a worker or ps can. Run the program "
            "that trains on the chief, and correct task.type if this process is another task."
        )
    try:
        raise_on_signals()
        chief_ended = threading.Event()
        server = start_server(config)
        arguments = (server, config, chief_ended)
        threading.Thread(target=_wait_for_end, args=arguments, daemon=True).start()
        return _watch(config, chief_ended, chief_timeout_s)
    except SignalReceived as received:
        return received.code


def serve_and_exit(config: TFConfig, *, chief_timeout_s: float = 300.0) -> NoReturn:
    """Run `serve` with the same arguments, and end the process with its exit code.

    Raises:
        TaskTypeError: The task is a chief or an evaluator.
        ServerStartError: The server could not start, e.g. because its port is taken.
    """
    code = serve(config, chief_timeout_s=chief_timeout_s)
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter's own shutdown would wait for the threads of TensorFlow's server.
    os._exit(code)


def start_server(config: TFConfig) -> tf.distribute.Server:
    """Start the TensorFlow server of the task and return it.

    Raises:
        ServerStartError: TensorFlow could not start it, e.g. because its port is taken.
    """
    if config.task.type == "ps":
        # Set before TensorFlow looks for GPUs: even an idle CUDA context takes GPU memory.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    # A call to a dead task fails at once instead of waiting for the task to return.
    os.environ.setdefault("GRPC_FAIL_FAST", "use_caller")
    if "tensorflow" not in sys.modules:
        _import_tensorflow_without_keras()
    import tensorflow as tf

    from tfps._tensorflow import find_devices

    find_devices()
    try:
        return tf.distribute.Server(
            config.cluster.without_evaluators().as_dict(),
            job_name=config.task.type,
            task_index=config.task.index,
            config=session_config(config.task.type),
        )
    except tf.errors.OpError as error:
        address = config.cluster.address(config.task)
        raise ServerStartError(
            f"Could not start the server of {config.task} at {address}: {error.message}. Check "
            "that no other process has this port, and that the address is one of this machine."
        ) from error


def _import_tensorflow_without_keras() -> None:
    # TensorFlow imports Keras if it can. A server has no models, and starts in half the time and
    # with 100 MB less. A third of what is left would be the garbage collector's, for no garbage.
    sys.modules.setdefault("keras", None)  # type: ignore[arg-type]
    collects = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("tensorflow")
    finally:
        if collects:
            gc.enable()
        if sys.modules["keras"] is None:
            del sys.modules["keras"]


def session_config(
    task_type: str, environ: Mapping[str, str] = os.environ
) -> tf.compat.v1.ConfigProto:
    """Return the settings of a task's server: its threads, and how it uses GPUs.

    `TF_NUM_INTEROP_THREADS` and `TF_NUM_INTRAOP_THREADS` keep their meaning, but a server has at
    least 4 inter-op threads: with fewer, a step hangs.
    """
    import tensorflow as tf

    inter_op = int(environ.get("TF_NUM_INTEROP_THREADS") or os.cpu_count() or 1)
    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=max(_LEAST_INTER_OP_THREADS, inter_op),
        intra_op_parallelism_threads=int(environ.get("TF_NUM_INTRAOP_THREADS") or 0),
        device_count={"GPU": 0} if task_type == "ps" else {},
        gpu_options=tf.compat.v1.GPUOptions(allow_growth=True),
    )
    # Idle threads sleep instead of spinning, and leave the processor to other tasks.
    config.experimental.disable_thread_spinning = True
    return config


def _wait_for_end(
    server: tf.distribute.Server, config: TFConfig, chief_ended: threading.Event
) -> None:
    from tfps.cluster import ending

    ending.wait_until_told(server, config.task)
    chief_ended.set()


def _watch(config: TFConfig, chief_ended: threading.Event, chief_timeout_s: float) -> int:
    (chief,) = config.cluster.chief
    probe_every_s = max(0.1, min(2.0, chief_timeout_s / 10))
    last_seen = time.monotonic()
    while not chief_ended.wait(probe_every_s):
        if addresses.accepts_connections(chief):
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen >= chief_timeout_s:
            say(
                f"{config.task} ends: nothing has listened at the chief's address {chief} "
                f"for {chief_timeout_s:g} s (--chief-timeout-s)."
            )
            return CHIEF_GONE
    _linger(chief)
    return 0


def _linger(chief: str) -> None:
    # When the chief exits, it closes its session with this server, and its TensorFlow releases what
    # it created here. Both would wait or log errors if the server were gone already.
    time.sleep(_LEAST_LINGER_S)
    deadline = time.monotonic() + _LINGER_S
    while time.monotonic() < deadline and addresses.accepts_connections(chief):
        time.sleep(0.1)
