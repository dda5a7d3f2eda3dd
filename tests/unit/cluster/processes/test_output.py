"""Lines of tasks: cut from a stream, prefixed, and kept for a report."""

from __future__ import annotations

import asyncio
import collections
import io

from tfps.cluster.processes import output


def prefixed(*chunks: bytes) -> list[bytes]:
    prefixer = output.LinePrefixer("[ps:0] ")
    return [line for chunk in chunks for line in prefixer.feed(chunk)] + prefixer.end()


def test_each_line_is_prefixed() -> None:
    assert prefixed(b"a\nb\n") == [b"[ps:0] a\n", b"[ps:0] b\n"]


def test_a_line_may_come_in_pieces() -> None:
    assert prefixed(b"on", b"e\ntw", b"o\n") == [b"[ps:0] one\n", b"[ps:0] two\n"]


def test_a_last_line_without_an_end_is_not_lost() -> None:
    assert prefixed(b"a\nb") == [b"[ps:0] a\n", b"[ps:0] b\n"]


def test_a_carriage_return_ends_a_line() -> None:
    assert prefixed(b"1/2\r2/2\r\ndone\n") == [b"[ps:0] 1/2\n", b"[ps:0] 2/2\n", b"[ps:0] done\n"]


def test_a_line_end_cut_between_two_chunks_makes_no_empty_line() -> None:
    assert prefixed(b"a\r", b"\nb\n") == [b"[ps:0] a\n", b"[ps:0] b\n"]


def test_bytes_that_are_no_text_pass() -> None:
    assert prefixed(b"\xff\xfe\n") == [b"[ps:0] \xff\xfe\n"]


def test_a_line_without_end_is_cut() -> None:
    lines = prefixed(*[b"x" * 50_000] * 4)
    assert len(lines) == 2
    assert sum(line.count(b"x") for line in lines) == 200_000


def test_info_messages_of_libraries_are_dropped_on_demand() -> None:
    messages = (
        b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        b"I0000 00:00:1795267252.336268    2955 port.cc:153] oneDNN custom operations are on.\n"
        b"normalizer.cc(51) LOG(INFO) precompiled_charsmap is empty.\n"
    )
    errors = b"E0000 00:00:1795267257.354251    2951 cuda.cc:52] failed\nI think so\n"
    quiet = output.LinePrefixer("", drop_info=True)
    assert b"".join(quiet.feed(messages + errors)) == errors
    assert b"".join(output.LinePrefixer("").feed(messages + errors)) == messages + errors


class _ClosedPipe(io.BytesIO):
    def write(self, data: object, /) -> int:
        raise BrokenPipeError


def copied(text: bytes, sink: io.BytesIO) -> collections.deque[bytes]:
    last: collections.deque[bytes] = collections.deque(maxlen=2)

    async def copy() -> None:
        source = asyncio.StreamReader()
        source.feed_data(text)
        source.feed_eof()
        await output.copy_prefixed(source, sink, output.LinePrefixer("[ps:0] "), last)

    asyncio.run(copy())
    return last


def test_a_stream_is_copied_and_its_last_lines_kept() -> None:
    sink = io.BytesIO()
    last = copied(b"a\nb\nc\n", sink)
    assert sink.getvalue() == b"[ps:0] a\n[ps:0] b\n[ps:0] c\n"
    assert list(last) == [b"[ps:0] b\n", b"[ps:0] c\n"]


def test_a_closed_sink_does_not_stop_the_reading() -> None:
    assert list(copied(b"a\nb\nc\n", _ClosedPipe())) == [b"[ps:0] b\n", b"[ps:0] c\n"]
