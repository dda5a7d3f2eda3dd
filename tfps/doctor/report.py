"""Show what was observed and found: as tables, or as JSON."""

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

from tfps.doctor.finding import Finding, Level, worst
from tfps.doctor.observed import Answer, Link, Observed
from tfps.doctor.versions import PACKAGES, PYTHON
from tfps.doctor.wording import GIB, gib, names, offset, printable, rate, short_time

_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.RED: "bold red"}
_PIPE_WIDTH = 240
_SENTENCE_WIDTH = 100
_NONE = "-"


def as_json(observed: Observed, findings: Sequence[Finding]) -> str:
    """Return the report as JSON: the findings, and what is known of each task and link."""
    content = {
        "level": str(worst(findings)),
        "findings": [
            {**dataclasses.asdict(finding), "level": str(finding.level)} for finding in findings
        ],
        "tasks": {label: dataclasses.asdict(one) for label, one in observed.answers.items()},
        "missing": {str(task): fault.detail for task, fault in observed.missing.items()},
        "links": [_link_content(link) for link in observed.links],
        "links_left_out": [[str(task) for task in pair] for pair in observed.left_out],
    }
    return json.dumps(content, indent=2)


def show(observed: Observed, findings: Sequence[Finding], out: TextIO) -> None:
    """Write the report as tables, and then what to do about each line that is not well."""
    # A pipe has no width; rich would take 80.
    width = None if out.isatty() else _PIPE_WIDTH
    console = Console(file=out, width=width)
    with console.capture() as shown:
        for table in _tables(observed, findings):
            console.print(table, "")
        console.print(_verdict(findings))
    # Tables are filled up with spaces to their right.
    out.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))


def _tables(observed: Observed, findings: Sequence[Finding]) -> Iterator[Table]:
    yield _tasks(observed)
    yield _versions(observed)
    if observed.links:
        yield _links(observed)
    yield _lines("what is so", findings, lambda one: one.says)
    ill = [finding for finding in findings if finding.level is not Level.OK]
    if ill:
        yield _lines("what to do", ill, lambda one: one.to_do)


def _tasks(observed: Observed) -> Table:
    table = _table("task", "address", "host", "cores", "memory free", "disk free", "GPU", "clock")
    addresses = {str(task): address for task, address in observed.spec}
    for label in addresses or observed.answers:
        given = observed.answers.get(label)
        cells = _cells(given) if given is not None else [_NONE] * 6
        _add(table, label, addresses.get(label, _NONE), *cells)
    return table


def _cells(answer: Answer) -> list[str]:
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


def _versions(observed: Observed) -> Table:
    table = _table("package", "version", "tasks")
    number = len(observed.answers)
    all_tasks = f"all {number}" if number > 1 else names(observed.answers)
    for package in (PYTHON, *PACKAGES):
        holders = observed.holders(package)
        for version, labels in holders.items():
            _add(table, package, version or _NONE, names(labels) if len(holders) > 1 else all_tasks)
    return table


def _links(observed: Observed) -> Table:
    table = _table("link", "round trip", "there", "back")
    ways = {(link.sender, link.receiver): link for link in observed.links}
    tasks = [task for task, _ in observed.spec]
    for one, other in itertools.combinations(tasks, 2):
        there, back = ways.get((one, other)), ways.get((other, one))
        if there is not None or back is not None:
            pulls = [link.pull for link in (there, back) if link is not None and link.pull]
            trip = short_time(max(pull.round_trip_s for pull in pulls)) if pulls else _NONE
            _add(table, f"{one} - {other}", trip, _rate(there), _rate(back))
    return table


def _rate(link: Link | None) -> str:
    return rate(link.pull.bytes_per_s) if link is not None and link.pull is not None else _NONE


def _lines(title: str, findings: Iterable[Finding], text_of: Callable[[Finding], str]) -> Table:
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
    """Add a row; the style is that of its first cell."""
    # As text, for what tasks say is no markup: [::1]:2222, tensorflow[and-cuda].
    first, *others = (Text(printable(cell)) for cell in cells)
    first.stylize(style)
    table.add_row(first, *others)


def _link_content(link: Link) -> dict[str, object]:
    pull = link.pull
    return {
        "from": str(link.sender),
        "to": str(link.receiver),
        "round_trip_s": pull.round_trip_s if pull is not None else None,
        "bytes_per_s": pull.bytes_per_s if pull is not None else None,
        "fault": link.fault.detail if link.fault is not None else "",
    }
