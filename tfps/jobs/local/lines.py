"""The lines of a file that another process writes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# A carriage return ends a line too, as a progress bar has it; the file's last byte may be half of
# a line end.
_LINE_END = re.compile(rb"\r?\n|\r(?=[^\n])")
_CHUNK_BYTES = 1 << 20
_LOOK_EVERY_S = 0.1


def lines(path: Path, goes_on: Callable[[], bool]) -> Iterator[str]:
    """Iterate over the lines of a file, without line ends.

    Args:
        path: The file, which may not be there yet.
        goes_on: Returns whether more may be written to it.
    """
    rest = b""
    for chunk in _chunks(path, goes_on):
        *whole, rest = _LINE_END.split(rest + chunk)
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.rstrip(b"\r").decode(errors="replace")


def _chunks(path: Path, goes_on: Callable[[], bool]) -> Iterator[bytes]:
    read_bytes, more = 0, True
    while more:
        more = goes_on()  # Asked first: what is there afterwards is all there will be.
        if path.exists():
            with path.open("rb") as file:
                file.seek(read_bytes)
                while chunk := file.read(_CHUNK_BYTES):
                    read_bytes += len(chunk)
                    yield chunk
        if more:
            time.sleep(_LOOK_EVERY_S)
