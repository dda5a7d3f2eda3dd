"""What every command takes that lets contenders take turns."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from benchmarks.compare.cases import TABLE_ROWS
from benchmarks.compare.driver import Patience


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
