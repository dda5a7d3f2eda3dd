"""How the chief and the evaluators find each other: through a table on the server of ps 0.

An evaluator is not part of the cluster, and Vertex AI does not even tell the chief its address. On
Vertex AI and in a TFJob, the chief's end also tears down the whole job. An evaluator therefore
announces itself in the table and keeps counting there to show that it is alive. When its training
is over, the chief writes that into the table and waits until the evaluators have finished.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfps.cluster import addresses
from tfps.cluster.ending import single_task_config
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.errors import ChiefGoneError
from tfps.log import say

_PS = Task(type="ps", index=0)
_CALL_TIMEOUT_S = 5.0
_TABLE = "tfps_evaluators"
_OVER = "over"
_LEFT = -1
_EVERY_S = 1.0
_LEAVE_WITHIN_S = 2.0
# An evaluator that loads a large checkpoint may be silent for some seconds.
SILENT_AFTER_S = 60.0


class Presence:
    """An evaluator's presence in its job, used as a context manager.

    A thread increments the evaluator's number in the table and checks whether the chief listens. A
    restarted ps has a new table, in which the evaluator soon appears again.
    """

    def __init__(self, config: TFConfig, *, chief_timeout_s: float) -> None:
        """Take the TF_CONFIG, and how long the chief may be gone."""
        self._task = config.task
        (self._chief,) = config.cluster.chief
        self._chief_timeout_s = chief_timeout_s
        self._table = _Table(config.cluster)
        self._chief_seen_s = time.monotonic()
        self._over = threading.Event()
        self._leaving = threading.Event()
        # Not a daemon: a thread inside TensorFlow when the interpreter exits aborts the process.
        self._thread = threading.Thread(target=self._announce)

    def __enter__(self) -> Presence:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join(_LEAVE_WITHIN_S)

    def is_over(self) -> bool:
        """Return whether the chief's training has ended normally.

        Raises:
            ChiefGoneError: Nothing has listened at the chief's address for the timeout, and the
                chief has not ended normally.
        """
        if self._over.is_set():
            return True
        if time.monotonic() - self._chief_seen_s >= self._chief_timeout_s:
            raise ChiefGoneError(
                f"nothing has listened at the chief's address {self._chief} for "
                f"{self._chief_timeout_s:g} s (chief_timeout_s)."
            )
        return False

    def _announce(self) -> None:
        name = str(self._task)
        for number in itertools.count(1):
            if _OVER in self._table.exchange(name, number):
                self._over.set()
            if addresses.accepts_connections(self._chief):
                self._chief_seen_s = time.monotonic()
            if self._leaving.wait(_EVERY_S):
                break
        self._table.exchange(name, _LEFT)
        self._table.close()


def wait_for_evaluators(
    spec: ClusterSpec,
    *,
    expected: Sequence[Task] = (),
    timeout_s: float = 600.0,
    report_every_s: float = 5.0,
) -> None:
    """Tell all evaluators that the training is over, and wait until they have finished.

    The evaluators waited for are named on standard error. An evaluator that has been silent for a
    minute is not waited for.

    Args:
        spec: The chief's cluster.
        expected: Evaluators to wait for even if they have not announced themselves.
        timeout_s: The longest time to wait.
        report_every_s: How often to name the evaluators.
    """
    table = _Table(spec)
    started_s = reported_s = now_s = time.monotonic()
    attendance = Attendance(expected, now_s)
    while True:
        attendance.update(table.exchange(_OVER, 1), now_s)
        if not (waiting := attendance.waiting(now_s)):
            break
        if now_s - started_s >= timeout_s:
            say(f"the job ends without {waiting}; to wait longer, set evaluator_timeout_s.")
            break
        if now_s - reported_s >= report_every_s:
            reported_s = now_s
            say(f"the training is over; waiting for {waiting}")
        time.sleep(min(_EVERY_S, timeout_s))
        now_s = time.monotonic()
    if silent := attendance.silent(now_s):
        say(f"the job ends without {silent}, silent for {SILENT_AFTER_S:g} s.")
    table.close()


class Attendance:
    """Which evaluators the chief waits for, according to the table. Opens no connection."""

    def __init__(self, expected: Sequence[Task], now_s: float) -> None:
        """Start with the evaluators that are expected, announced or not."""
        self._numbers = {str(task): 0 for task in expected}
        self._heard_s = dict.fromkeys(self._numbers, now_s)

    def update(self, table: Mapping[str, int], now_s: float) -> None:
        """Note which evaluators have counted up since the last call."""
        for name, number in table.items():
            if name != _OVER and number != self._numbers.get(name):
                self._numbers[name], self._heard_s[name] = number, now_s

    def waiting(self, now_s: float) -> str:
        """Return the names of the evaluators that are still working; "" if there are none."""
        return ", ".join(name for name in self._present() if not self._is_silent(name, now_s))

    def silent(self, now_s: float) -> str:
        """Return the names of the evaluators that have been silent for too long; "" if none."""
        return ", ".join(name for name in self._present() if self._is_silent(name, now_s))

    def _present(self) -> list[str]:
        return sorted(name for name, number in self._numbers.items() if number != _LEFT)

    def _is_silent(self, name: str, now_s: float) -> bool:
        return now_s - self._heard_s[name] >= SILENT_AFTER_S


class _Table:
    """A table of names and numbers in the TensorFlow server of ps 0; it is lost if the ps dies."""

    def __init__(self, spec: ClusterSpec) -> None:
        """Connect to the table of a cluster lazily; whoever comes first creates it."""
        self._address = spec.address(_PS)
        self._session: tf.compat.v1.Session | None = None
        self._graph = tf.Graph()
        with self._graph.as_default(), tf.device(f"/job:{_PS.type}/task:{_PS.index}/device:CPU:0"):
            table = tf.raw_ops.MutableHashTableV2(
                key_dtype=tf.string, value_dtype=tf.int64, shared_name=_TABLE
            )
            self._name = tf.compat.v1.placeholder(tf.string, [1])
            self._number = tf.compat.v1.placeholder(tf.int64, [1])
            write = tf.raw_ops.LookupTableInsertV2(
                table_handle=table, keys=self._name, values=self._number
            )
            with tf.control_dependencies([write]):
                self._all = tf.raw_ops.LookupTableExportV2(
                    table_handle=table, Tkeys=tf.string, Tvalues=tf.int64
                )

    def exchange(self, name: str, number: int) -> dict[str, int]:
        """Write one number and return all of them; an empty dict if the ps does not answer."""
        # A session would wait for its whole timeout if nobody listens at the address.
        if self._session is None and not addresses.accepts_connections(self._address):
            return {}
        try:
            self._session = self._session or self._connect()
            names, numbers = self._session.run(
                self._all, {self._name: [name], self._number: [number]}
            )
        except tf.errors.OpError:
            self.close()
            return {}
        return {name.decode(): int(number) for name, number in zip(names, numbers, strict=True)}

    def close(self) -> None:
        """Close the connection to the ps; the table stays."""
        with contextlib.suppress(tf.errors.OpError):
            if self._session is not None:
                self._session.close()
        self._session = None

    def _connect(self) -> tf.compat.v1.Session:
        config = single_task_config(_PS)
        config.operation_timeout_in_ms = int(_CALL_TIMEOUT_S * 1000)
        return tf.compat.v1.Session(f"grpc://{self._address}", graph=self._graph, config=config)
