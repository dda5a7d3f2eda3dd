"""The highest step rate that links of a rate allow, given a contender's bytes per step.

A link carries both directions at once, each at the rate. A worker's link carries all that the
worker pulls and pushes; a ps' link carries the share of all workers. What pulls or pushes take is
their coded bytes, of `history.traffic`, over what TCP leaves of the rate.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from benchmarks import report
from benchmarks.compare.contenders import ALL, NUM_WORKERS, Contender
from benchmarks.compare.protocol import Answer
from benchmarks.compare.targets import NOT_RUN, Rates
from benchmarks.lab import shaping
from benchmarks.lab.sitting import Found, Turn

CEILING = ALL["ceiling"]
LEAST = 0.85
"""What the fastest of each wire should reach of its bound."""
_NOTE = (
    "link: what the busiest link lets through at the coded bytes of a step (pull, push), each "
    "direction at the rate less headers (1448 of 1514 bytes). A worker's link is busy for pull + "
    "push of its own steps, with buckets for the larger of both; a ps' link for the larger of "
    "its share of all workers' pulls and pushes. ceiling: forward and backward alone, measured in "
    "the same rounds. bound: the lesser. ratio: of examples/s over the bound, round by round."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coded:
    """Bytes that a step of one worker moves, after coding.

    Attributes:
        pull: From each ps.
        push: To each ps.
    """

    pull: tuple[float, ...]
    push: tuple[float, ...]


def coded(answer: Answer) -> Coded | None:
    """Return what a step moved in a turn; None if the contender does not count."""
    if answer.pull_bytes is None or answer.push_bytes is None:
        return None
    return Coded(
        pull=tuple(sent / answer.steps for sent in answer.pull_bytes),
        push=tuple(received / answer.steps for received in answer.push_bytes),
    )


def steps_per_s(
    step: Coded, rate_mbit: float, *, duplex: bool, num_workers: int = NUM_WORKERS
) -> float:
    """Return how many steps/s, of all workers together, the links carry at most.

    With buckets a worker pulls and pushes at the same time, so its link is busy for the larger of
    both; without it for their sum. A ps serves several workers, so that its link can have both
    directions busy either way.

    Args:
        step: What a step moves.
        rate_mbit: The rate of each link in each direction, in Mbit/s with headers.
        duplex: Whether a worker pulls and pushes at the same time.
        num_workers: How many workers share each ps.
    """
    bytes_per_s = shaping.payload_mbit(rate_mbit) * 1e6 / 8
    pull, push = sum(step.pull), sum(step.push)
    of_worker = max(pull, push) if duplex else pull + push
    of_ps = num_workers * max(*step.pull, *step.push)
    return num_workers * bytes_per_s / max(of_worker, of_ps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reached:
    """Examples/s of one turn, beside what was possible.

    Attributes:
        measured: What the contender reached.
        link: What the links let through.
        ceiling: What computing alone reached in the same round.
    """

    measured: float
    link: float
    ceiling: float

    @property
    def bound(self) -> float:
        """The lower of the rates that links and computing allow."""
        return min(self.link, self.ceiling)


def reached(
    contender: Contender,
    rounds: Sequence[Turn | None],
    ceilings: Sequence[float | None],
    rate_mbit: float,
    batch: int,
) -> list[Reached]:
    """Return what a contender reached in each round that the ceiling was measured in.

    Args:
        contender: The contender; nothing is known of one that does not count bytes.
        rounds: Its turns.
        ceilings: Examples/s of the ceiling in the same rounds.
        rate_mbit: The rate of each link in each direction.
        batch: Examples in a step.
    """
    found = []
    for turn, ceiling in zip(rounds, ceilings, strict=False):
        step = coded(turn.answer) if turn else None
        if turn and ceiling and step:
            link = steps_per_s(step, rate_mbit, duplex=contender.duplex)
            speed = turn.answer.steps / turn.answer.seconds
            found.append(Reached(measured=batch * speed, link=batch * link, ceiling=ceiling))
    return found


def table(
    title: str, found: Mapping[Contender, Found], rates: Rates, rate_mbit: float, batch: int
) -> report.Table:
    """Return the table of what each contender reached of its bound at a rate.

    Args:
        title: Which model, and at which rate.
        found: What became of each contender.
        rates: Examples/s of each contender in each round at the rate.
        rate_mbit: The rate of each link in each direction.
        batch: Examples in a step.
    """
    rounds = {contender: one.rounds.get(rate_mbit, []) for contender, one in found.items()}
    every = {
        contender: reached(contender, turns, rates.get(CEILING, []), rate_mbit, batch)
        for contender, turns in rounds.items()
    }
    every = {contender: of_rounds for contender, of_rounds in every.items() if of_rounds}
    best = fastest_of_families(every)
    rows: list[list[report.Cell]] = []
    for contender, of_rounds in every.items():
        middles = [
            statistics.median(getattr(one, name) for one in of_rounds)
            for name in ("link", "ceiling", "bound")
        ]
        ratios = report.low_middle_high([one.measured / one.bound for one in of_rounds])
        judged: report.Cell = ratios[1] >= LEAST if contender in best else NOT_RUN
        rows.append([contender.name, *_coded_mb(rounds[contender]), *middles, *ratios, judged])
    return report.Table(
        title=f"{title}: examples/s over what is possible; {LEAST} wanted of the fastest of a wire",
        columns=[
            *("contender", "pull MB", "push MB", "link", "ceiling", "bound"),
            *("min", "ratio", "max", "reached"),
        ],
        rows=rows,
        note=_NOTE,
    )


def fastest_of_families(every: Mapping[Contender, Sequence[Reached]]) -> set[Contender]:
    """Return the contender of each family that has the highest median of examples/s."""
    best: dict[str, tuple[float, Contender]] = {}
    for contender, of_rounds in every.items():
        middle = statistics.median(one.measured for one in of_rounds)
        if contender.family not in best or middle > best[contender.family][0]:
            best[contender.family] = (middle, contender)
    return {contender for _, contender in best.values()}


def _coded_mb(rounds: Sequence[Turn | None]) -> tuple[float, float]:
    """Return the MB that a step pulls and pushes, the medians of the rounds."""
    steps = [step for turn in rounds if turn and (step := coded(turn.answer))]
    pulled = statistics.median(sum(step.pull) for step in steps) / 1e6
    return pulled, statistics.median(sum(step.push) for step in steps) / 1e6
