"""However a measurement ends: no process is left, and with the processes the network is gone."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from benchmarks.lab.network import NetworkError
from tfps.cluster.processes import guard


def guarded(work: Callable[[], int]) -> int:
    """Run `work` in a process that leaves no other behind; return the exit code.

    A signal raises SystemExit in it. What the machine refuses is told in a line, and the code is 2.
    """

    def run(launcher_gone: int) -> int:
        del launcher_gone  # The kernel ends this process with the launcher.
        guard.die_with_parent()
        for number in guard.FORWARDED_SIGNALS:
            signal.signal(number, _end)
        guard.unblock_signals()
        try:
            return work()
        except SystemExit as ending:
            return int(ending.code or 0)
        except NetworkError as error:
            print(f"lab: {error}", file=sys.stderr)
            return 2

    return guard.guarded(run)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
