"""Show the findings and what is known of the job: as tables, or as JSON."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfps.doctor.findings import (
    GIB,
    Finding,
    Level,
    gib,
    milliseconds,
    names,
    offset,
    printable,
    rate,
    worst,
)
from tfps.doctor.observations import PACKAGES, PYTHON, JobObservations, Link, TaskAnswer

_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.RED: "bold red"}
_PIPE_WIDTH = 240
_SENTENCE_WIDTH = 100
_NONE = "-"


def as_json(job: JobObservations, findings: Sequence[Finding]) -> str:
    """Return the report as JSON: the findings, and what is known of each task and link."""
    content = {
        "level": str(worst(findings)),
        "findings": [
            {**dataclasses.asdict(finding), "level": str(finding.level)} for finding in findings
        ],
        "tasks": {label: dataclasses.asdict(answer) for label, answer in job.answers.items()},
        "missing": {str(task): failure.detail for task, failure in job.missing.items()},
        "links": [_link_content(link) for link in job.links],
        "links_left_out": [[str(task) for task in pair] for pair in job.left_out],
    }
    return json.dumps(content, indent=2)


def show(job: JobObservations, findings: Sequence[Finding], out: TextIO) -> None:
    """Write the report as tables, followed by what to do about each problem."""
    # A pipe has no width, and rich would use 80.
    width = None if out.isatty() else _PIPE_WIDTH
    console = Console(file=out, width=width)
    with console.capture() as shown:
        for table in _tables(job, findings):
            console.print(table, "")
        console.print(_verdict(findings))
    # rich pads tables with spaces on the right.
    out.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))


def _tables(job: JobObservations, findings: Sequence[Finding]) -> Iterator[Table]:
    yield _task_table(job)
    yield _version_table(job)
    if job.links:
        yield _link_table(job)
    yield _finding_table("finding", findings, lambda finding: finding.says)
    problems = [finding for finding in findings if finding.level is not Level.OK]
    if problems:
        yield _finding_table("what to do", problems, lambda finding: finding.to_do)


def _task_table(job: JobObservations) -> Table:
    table = _table("task", "address", "host", "cores", "memory free", "disk free", "GPU", "clock")
    addresses = {str(task): address for task, address in job.spec}
    for label in addresses or job.answers:
        answer = job.answers.get(label)
        cells = _task_cells(answer) if answer is not None else [_NONE] * 6
        _add(table, label, addresses.get(label, _NONE), *cells)
    return table


def _task_cells(answer: TaskAnswer) -> list[str]:
    limits = answer.facts.limits
    free_bytes = [disk.free_bytes for disk in answer.facts.disks if not disk.fault]
    return [
        answer.facts.host,
        f"{limits.quota_cores or limits.cores:g}",
        f"{limits.available_bytes / GIB:.0f} of {gib(limits.memory_bytes)}",
        gib(min(free_bytes)) if free_bytes else _NONE,
        str(len(answer.facts.gpus.listed) or "none"),
        _NONE if answer.clock is None else offset(answer.clock.offset_s),
    ]


def _version_table(job: JobObservations) -> Table:
    table = _table("package", "version", "tasks")
    num_tasks = len(job.answers)
    all_tasks = f"all {num_tasks}" if num_tasks > 1 else names(job.answers)
    for package in (PYTHON, *PACKAGES):
        labels_by_version = job.labels_by_version(package)
        for version, labels in labels_by_version.items():
            _add(
                table,
                package,
                version or _NONE,
                names(labels) if len(labels_by_version) > 1 else all_tasks,
            )
    return table


def _link_table(job: JobObservations) -> Table:
    table = _table("link", "round trip", "there", "back")
    links = {(link.sender, link.receiver): link for link in job.links}
    tasks = [task for task, _ in job.spec]
    for one, other in itertools.combinations(tasks, 2):
        there, back = links.get((one, other)), links.get((other, one))
        if there is not None or back is not None:
            speeds = [link.speed for link in (there, back) if link is not None and link.speed]
            round_trip = (
                milliseconds(max(speed.round_trip_s for speed in speeds)) if speeds else _NONE
            )
            _add(table, f"{one} - {other}", round_trip, _rate(there), _rate(back))
    return table


def _rate(link: Link | None) -> str:
    return rate(link.speed.bytes_per_s) if link is not None and link.speed is not None else _NONE


def _finding_table(
    title: str, findings: Iterable[Finding], text_of: Callable[[Finding], str]
) -> Table:
    table = _table("", "check")
    table.add_column(title.upper(), max_width=_SENTENCE_WIDTH)
    for finding in findings:
        style = _STYLES[finding.level]
        _add(table, str(finding.level), finding.check, text_of(finding), style=style)
    return table


def _verdict(findings: Sequence[Finding]) -> Text:
    number = collections.Counter(finding.level for finding in findings)
    counts = ", ".join(f"{number[level]} {level}" for level in sorted(Level, reverse=True))
    level = worst(findings)
    return Text.assemble("result: ", (str(level), _STYLES[level]), f" ({counts})")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    """Add a row whose first cell has the style."""
    # As Text, since brackets are not markup here: [::1]:2222, tensorflow[and-cuda].
    first, *others = (Text(printable(cell)) for cell in cells)
    first.stylize(style)
    table.add_row(first, *others)


def _link_content(link: Link) -> dict[str, object]:
    speed = link.speed
    return {
        "from": str(link.sender),
        "to": str(link.receiver),
        "round_trip_s": speed.round_trip_s if speed is not None else None,
        "bytes_per_s": speed.bytes_per_s if speed is not None else None,
        "fault": link.failure.detail if link.failure is not None else "",
    }
