"""What an error of a data pipeline says first: who read, what failed, and what to do."""

from __future__ import annotations

import re

import tensorflow as tf

_READS = "IteratorGetNext"
_ELSEWHERE = re.compile(r"Assigned device '([^']*)' does not match any device")
_NOISE = re.compile(
    r"\s*$|Graph execution error|Detected at|<stack traces|\s+File |\s*\[\[|\d+ root error"
    r"|Additional|:UNKNOWN"
)
_PREFIX = re.compile(
    r"(\s*\(\d+\) [A-Z_]+:)|\{\{function_node [^}]*\}\}"
    r"|Error in user-defined function passed to \S+ transformation with iterator: \S+:"
    r"|\s*\[Op:[^\]]*\].*"
)
_ADVICE: dict[type[Exception], str] = {
    tf.errors.NotFoundError: (
        " Files must be under the same path on all machines that read them, or in storage that all "
        "of them reach."
    ),
    tf.errors.DataLossError: (
        " A file is damaged, cut off, or of another kind; `.ignore_errors()` leaves such records "
        "out."
    ),
}


def explained(error: BaseException, reader: str) -> BaseException:
    """Return an error with a first line about the data, if it is one of a data pipeline.

    Args:
        error: what a read, or a step that reads, has raised.
        reader: who has read: "The chief" or "Worker 3".
    """
    given = error
    if not isinstance(error, tf.errors.OpError):
        return given
    message: str = error.message
    if elsewhere := _ELSEWHERE.search(message):
        text = (
            f"{reader} could not build its data, which uses a lookup table or a variable of "
            f"{elsewhere[1]}. Let the data function create it at each call."
        )
    elif _READS in str(error):
        lines = [line for line in message.splitlines() if not _NOISE.match(line)]
        reason = _PREFIX.sub("", lines[0] if lines else message).strip().rstrip(".")
        nodes = [n for n in re.findall(r"\{\{node ([^}]*)\}\}", message) if _READS not in n]
        op = f" (op {nodes[0]})" if nodes else ""
        text = f"{reader} could not read the data: {reason}{op}.{_ADVICE.get(type(error), '')}"
    else:
        return given
    with_text: BaseException = type(error)(error.node_def, error.op, f"{text}\n{message}")
    return with_text
