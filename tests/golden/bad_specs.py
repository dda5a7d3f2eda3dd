"""Job specs with faults, each with the messages about it: bad_specs.txt.

A case is a line `=== TITLE`, maybe with `(--target TARGET)`, the spec, a line `>>>`, and the lines
that `tfps validate` writes to standard error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from pathlib import Path

from tfps import cli

FILE = Path(__file__).with_name("bad_specs.txt")

_CASE = re.compile(
    r"^=== (?P<title>[^\n]*?)(?: \(--target (?P<target>[-a-z]+)\))?\n"
    r"(?P<spec>.*?)^>>>\n(?P<message>.*?)\n?(?=^=== |\Z)",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadSpec:
    title: str
    target: str | None
    spec: str
    message: str

    def validate(self, folder: Path) -> tuple[int, str]:
        """Run `tfps validate` on the spec in a folder; return its exit code and messages."""
        (folder / "spec.yaml").write_text(self.spec)
        target = ["--target", self.target] if self.target else []
        standard_error = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stderr(standard_error):
            code = cli.main(["validate", "-f", "spec.yaml", *target])
        return code, standard_error.getvalue()

    def __str__(self) -> str:
        target = f" (--target {self.target})" if self.target else ""
        return f"=== {self.title}{target}\n{self.spec}>>>\n{self.message}"


def read() -> list[BadSpec]:
    return [BadSpec(**match.groupdict()) for match in _CASE.finditer(FILE.read_text())]


def write(cases: list[BadSpec]) -> None:
    FILE.write_text("".join(f"{case}\n" for case in cases))
