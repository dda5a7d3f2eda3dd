"""The chief's threads that run the programs of the ps while the workers train."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
import tensorflow as tf

from tfps.update.inbox import Kind
from tfps.update.ps_program import PsProgram


class PsThreads:
    """The programs that run on the ps during a run, each called from a thread of the chief.

    Attributes:
        on_error: called with the error of a program that fails, before everything that waits for
            that program fails, too.
    """

    def __init__(self, programs: Sequence[PsProgram], members: Sequence[bool]) -> None:
        """Keep the programs; entering the context starts the threads.

        Args:
            programs: the programs.
            members: for each worker, whether it takes part.
        """
        self.on_error: Callable[[BaseException], None] = lambda error: None
        self._programs = programs
        self._failed: set[PsProgram] = set()
        self._sending = threading.Lock()
        self._end_sent = False
        self._members = np.array(members, np.bool_)
        self._threads = [
            threading.Thread(target=self._run, args=(program,), name=f"tfps-ps-{program.ps}")
            for program in programs
        ]
        self._watched = [program for program in programs if program.patience_s is not None]
        self._ended = threading.Event()
        if self._watched:
            self._threads.append(threading.Thread(target=self._watch, name="tfps-watch"))

    def __enter__(self) -> PsThreads:
        """Start the programs."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the programs once they have processed everything that was pushed."""
        self._ended.set()
        try:
            self._send(Kind.END)
        except tf.errors.OpError:
            if error is None:
                raise
        for thread in self._threads:
            thread.join()

    def add_worker(self, worker: int) -> None:
        """Make a worker a member again that has been removed."""
        for program in self._send(Kind.JOINED, worker):
            program.inbox.wait_for_receipt()

    def remove_worker(self, worker: int) -> None:
        """Have nobody wait for a worker that is lost or has no more to do."""
        self._send(Kind.LEFT, worker)

    def _watch(self) -> None:
        """Warn of each worker that has been silent for too long; updates go on without it."""
        patience_s = min(program.patience_s or 0 for program in self._watched)
        while not self._ended.wait(patience_s / 4):
            try:
                asked = self._send(Kind.CHECK)
                late = {worker for program in asked for worker in program.inbox.wait_for_late()}
            except tf.errors.OpError:
                return  # a program has failed, and reports why
            for worker in sorted(late):
                warnings.warn(
                    f"Worker {worker} has not pushed for more than patience_s={patience_s:g} "
                    "seconds, and ten times as long as any step took: updates go on without it "
                    "until it pushes again.",
                    stacklevel=2,
                )

    def _send(self, kind: Kind, worker: int = 0) -> list[PsProgram]:
        """Send an entry to the programs, unless their end was sent; return the receivers."""
        with self._sending:
            receivers = [p for p in self._programs if not self._end_sent and p not in self._failed]
            if kind is Kind.CHECK:
                receivers = [program for program in receivers if program in self._watched]
            for program in receivers:
                program.inbox.tell(kind, worker)
            self._end_sent = self._end_sent or kind is Kind.END
        return receivers

    def _run(self, program: PsProgram) -> None:
        try:
            program.run(self._members)
        except BaseException as error:
            self._failed.add(program)
            self.on_error(error)
            with contextlib.suppress(tf.errors.OpError):  # the ps may be gone
                program.inbox.close()
