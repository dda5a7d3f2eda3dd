"""What the driver and a contender say to each other, a line each over the contender's pipes.

The contender says `Ready` once its model is made, and waits. For each line `run` it runs its steps
and says `Answer`, then waits again; it says so only when it does nothing any more, since it is
somebody else's turn next. Any other line, or the end of its standard input, ends it.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from typing import TypeVar

RUN = "run"
_MARK = "compare: "


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """A contender waits for its first turn.

    Attributes:
        parameters: How many parameters its model has.
    """

    parameters: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What one turn took.

    Attributes:
        steps: How many batches were learnt from.
        seconds: How long that took.
        loss: The training loss, to see that it learns.
        counted_bytes: What the contender says that it moved; None if it does not count.
        pull_bytes: Of these, what each ps sent to workers; None if they are not told apart.
        push_bytes: Of these, what each ps received from workers; likewise.
    """

    steps: int
    seconds: float
    loss: float
    counted_bytes: int | None = None
    pull_bytes: list[int] | None = None
    push_bytes: list[int] | None = None


Message = Ready | Answer
M = TypeVar("M", Ready, Answer)


def to_line(message: Message) -> str:
    """Write a message as one line, without its end."""
    return _MARK + json.dumps(dataclasses.asdict(message))


def from_line(line: str, kind: type[M]) -> M | None:
    """Read a message; return None when the line is other output of the program.

    Raises:
        ValueError: The line is a message, but not one of that kind.
    """
    _, mark, content = line.partition(_MARK)
    if not mark:
        return None
    names = [field.name for field in dataclasses.fields(kind)]
    try:
        fields = json.loads(content)
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The contender said {content.strip()!r}; expected a JSON object with "
            f"{', '.join(names)}."
        ) from error


def together(answers: Sequence[Answer]) -> Answer:
    """Return the answer of several processes that ran at the same time."""
    if len(answers) == 1:
        return answers[0]
    counted = [answer.counted_bytes for answer in answers if answer.counted_bytes is not None]
    return Answer(
        steps=sum(answer.steps for answer in answers),
        seconds=max(answer.seconds for answer in answers),
        loss=statistics.fmean(answer.loss for answer in answers),
        counted_bytes=sum(counted) if counted else None,
    )
