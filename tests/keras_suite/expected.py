"""The tests of Keras that fail under a strategy: the table in docs/keras-suite.md."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "keras-suite.md"
_ROW = re.compile(
    r"^\| `(?P<test>\S+)` \| (?P<where>[\w ]+) \| (?P<result>[\w ]+) \| (?P<reason>.+) \|$",
    re.MULTILINE,
)
_WHERE: dict[str, Callable[[int, int], bool]] = {
    "everywhere": lambda shards, workers: True,
    "a strategy": lambda shards, workers: shards > 0,
    "2 shards": lambda shards, workers: shards > 1,
    "2 workers": lambda shards, workers: shards > 0 and workers > 1,
}
_RESULTS = {name: name for name in ("fails", "varies", "not run")}


@dataclasses.dataclass(frozen=True)
class Failure:
    """A row of the table.

    Attributes:
        test: the tests' id from Keras's folder on; `*` stands for any characters.
        where: a function of the number of shards, 0 for plain Keras, and the number of workers:
            whether the tests fail there.
        result: "fails", "varies" from run to run, or "not run".
        reason: why.
    """

    test: str
    where: Callable[[int, int], bool]
    result: str
    reason: str

    def concerns(self, test: str, shards: int, workers: int) -> bool:
        """Whether a test with this id is one of them."""
        return self.where(shards, workers) and fnmatch.fnmatchcase(test, self.test)


def read(page: str) -> list[Failure]:
    """Return the rows of the table in a page.

    Raises:
        KeyError: if a row names a place or a result that is not known.
    """
    return [
        Failure(row["test"], _WHERE[row["where"]], _RESULTS[row["result"]], row["reason"])
        for row in _ROW.finditer(page)
    ]
