"""Prints a benchmark's results as tables, and writes them to a JSON file."""

from __future__ import annotations

import dataclasses
import json
import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import rich.box
import rich.console
import rich.table

Cell = str | int | float | bool
_PACKAGES = ("tensorflow", "keras", "keras-nlp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table of results.

    Attributes:
        title: What is measured, with its units.
        columns: A heading for each cell of a row.
        rows: The cells; numbers keep their full precision in JSON.
        note: What a reader must know to judge the numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Table {self.title!r}: row {list(row)} has {len(row)} cells, but there are "
                    f"{len(self.columns)} columns."
                )

    def as_records(self) -> list[dict[str, Cell]]:
        """Return a dictionary from heading to cell for each row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def publish(
    tables: Sequence[Table], json_file: Path | None = None, details: Sequence[Table] = ()
) -> None:
    """Print tables to standard output; write them to a file as well, if there is one.

    Args:
        tables: What is printed and written.
        json_file: Where to write.
        details: What is written only.
    """
    # A terminal's width would cut the numbers when the output goes to a file.
    console = rich.console.Console(width=110, highlight=False)
    for table in tables:
        console.print(table.title, style="bold")
        console.print(_drawn(table))
        if table.note:
            console.print(f"{table.note}\n")
    if json_file is not None:
        json_file.write_text(json.dumps(_as_json([*tables, *details]), indent=2) + "\n")


def low_middle_high(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the smallest of some values, their median, and the largest."""
    return min(values), statistics.median(values), max(values)


def _drawn(table: Table) -> rich.table.Table:
    drawn = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        texts = all(isinstance(record[column], str) for record in table.as_records())
        drawn.add_column(column, justify="left" if texts else "right")
    for row in table.rows:
        drawn.add_row(*(_written(cell) for cell in row))
    return drawn


def _written(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "NO"
    if isinstance(cell, float):
        return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _as_json(tables: Sequence[Table]) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "tables": [
            {"title": table.title, "note": table.note, "rows": table.as_records()}
            for table in tables
        ],
    }
