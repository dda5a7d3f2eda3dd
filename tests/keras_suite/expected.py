"""The tests of Keras that fail under a strategy: the table in docs/keras-suite.md."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "keras-suite.md"
_ROW = re.compile(
    r"^\| `(?P<test>\S+)` \| (?P<where>[\w ]+) \| (?P<result>[\w ]+) \| (?P<reason>.+) \|$",
    re.MULTILINE,
)
_WHERE = {"everywhere": (0, 1, 2), "the strategy": (1, 2), "2 shards": (2,)}
_RESULTS = {name: name for name in ("fails", "varies", "not run")}


@dataclasses.dataclass(frozen=True)
class Failure:
    """A row of the table.

    Attributes:
        test: the tests' id from Keras's folder on; `*` stands for any characters.
        shards: the numbers of shards with which the tests fail; 0 is plain Keras.
        result: "fails", "varies" from run to run, or "not run".
        reason: why.
    """

    test: str
    shards: tuple[int, ...]
    result: str
    reason: str

    def concerns(self, test: str, shards: int) -> bool:
        """Whether a test with this id is one of them."""
        return shards in self.shards and fnmatch.fnmatchcase(test, self.test)


def read(page: str) -> list[Failure]:
    """Return the rows of the table in a page.

    Raises:
        KeyError: if a row names a place or a result that is not known.
    """
    return [
        Failure(row["test"], _WHERE[row["where"]], _RESULTS[row["result"]], row["reason"])
        for row in _ROW.finditer(page)
    ]
