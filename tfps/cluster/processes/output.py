"""The output of tasks: prefix each line, and keep the last lines for error reports."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import re
from typing import BinaryIO

from tfps.quiet import is_noise

_LINE_END = re.compile(rb"\r\n|\r|\n")
_CHUNK_BYTES = 1 << 16
_LONGEST_LINE_BYTES = 1 << 16


class LinePrefixer:
    """Cut a stream of bytes into lines and put a prefix before each.

    A carriage return also ends a line, since a progress bar would otherwise overwrite the prefix.
    Empty lines are dropped, and a line without an end is cut at 64 KiB.
    """

    def __init__(self, prefix: str, *, drop_info: bool = False) -> None:
        """Set the prefix, e.g. `[worker:1] `, and whether to drop INFO messages of C++ code."""
        self._prefix = prefix.encode()
        self._drop_info = drop_info
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes, prefixed and each ending in a line feed."""
        *lines, self._rest = _LINE_END.split(self._rest + chunk)
        if len(self._rest) > _LONGEST_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        return [self._prefix + line + b"\n" for line in lines if line and self._passes(line)]

    def end(self) -> list[bytes]:
        """Return the last line if the stream ended without a line feed."""
        return self.feed(b"\n")

    def _passes(self, line: bytes) -> bool:
        return not (self._drop_info and is_noise(line))


async def copy_prefixed(
    source: asyncio.StreamReader,
    sink: BinaryIO,
    prefixer: LinePrefixer,
    last: collections.deque[bytes],
) -> None:
    """Copy a task's stream line by line until it ends.

    Args:
        source: What the task writes.
        sink: Where the prefixed lines go. If it is closed, the task's output is still read, so that
            the task does not block.
        prefixer: Cuts and prefixes the lines.
        last: Also receives the lines, so that the last ones can be repeated in a report.
    """
    while chunk := await source.read(_CHUNK_BYTES):
        _write(prefixer.feed(chunk), sink, last)
    _write(prefixer.end(), sink, last)


def _write(lines: list[bytes], sink: BinaryIO, last: collections.deque[bytes]) -> None:
    last.extend(lines)
    with contextlib.suppress(BrokenPipeError):
        # Whole lines in one write, so that the output of two tasks does not mix within a line.
        sink.write(b"".join(lines))
        sink.flush()
