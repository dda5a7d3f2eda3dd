"""Serving: the programs of the ps, which run while the workers train."""

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


class Serving:
    """The programs that run on the ps during a run, each in a thread of the chief.

    Attributes:
        on_error: is called with the error of a program that fails, before all that wait for it
            fail, too.
    """

    def __init__(self, programs: Sequence[PsProgram], workers: int) -> None:
        """Take the programs, and how many workers there are; `start` starts them."""
        self.on_error: Callable[[BaseException], None] = lambda error: None
        self._programs = programs
        self._failed: set[PsProgram] = set()
        self._telling = threading.Lock()
        self._over = False
        self._members = np.ones([workers], np.bool_)
        self._threads = [
            threading.Thread(target=self._run, args=(program,), name=f"tfps-ps-{program.ps}")
            for program in programs
        ]
        self._watched = [program for program in programs if program.patience_s is not None]
        self._ended = threading.Event()
        if self._watched:
            self._threads.append(threading.Thread(target=self._watch, name="tfps-watch"))

    def __enter__(self) -> Serving:
        """Start the programs; all workers take part."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the programs, once they have dealt with all that was pushed."""
        self._ended.set()
        try:
            self._tell(Kind.END)
        except tf.errors.OpError:
            if error is None:
                raise
        for thread in self._threads:
            thread.join()

    @property
    def in_step(self) -> bool:
        """Whether each worker goes on only after one step of every other."""
        return any(program.in_step for program in self._programs)

    def joins(self, worker: int) -> None:
        """Let a worker take part again that has left."""
        for program in self._tell(Kind.JOINED, worker):
            program.inbox.wait_for_receipt()

    def leaves(self, worker: int) -> None:
        """Have nobody wait any more for a worker, which is lost or has no more to do."""
        self._tell(Kind.LEFT, worker)

    def _watch(self) -> None:
        """Have nobody wait for a worker that has been silent for too long, and say so."""
        patience_s = min(program.patience_s or 0 for program in self._watched)
        while not self._ended.wait(patience_s / 4):
            try:
                told = self._tell(Kind.CHECK)
                late = {worker for program in told for worker in program.inbox.wait_for_late()}
            except tf.errors.OpError:
                return  # a program has failed, and says why
            for worker in sorted(late):
                warnings.warn(
                    f"Worker {worker} has not pushed for more than patience_s={patience_s:g} "
                    "seconds, and ten times as long as any step took: updates go on without it "
                    "until it pushes again.",
                    stacklevel=2,
                )

    def _tell(self, kind: Kind, worker: int = 0) -> list[PsProgram]:
        """Tell the programs, unless they have been told to end; return those that were told."""
        with self._telling:
            told = [p for p in self._programs if not self._over and p not in self._failed]
            if kind is Kind.CHECK:
                told = [program for program in told if program in self._watched]
            for program in told:
                program.inbox.tell(kind, worker)
            self._over = self._over or kind is Kind.END
        return told

    def _run(self, program: PsProgram) -> None:
        try:
            program.run(self._members)
        except BaseException as error:
            self._failed.add(program)
            self.on_error(error)
            with contextlib.suppress(tf.errors.OpError):  # the ps may be gone
                program.inbox.close()
