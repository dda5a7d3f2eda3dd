"""Of a model with LoRA only the adapters travel in a step."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import processes

SIZES = ["--vocabulary", "512", "--width", "64", "--layers", "2", "--sequence", "16"]
LENGTHS = ["--rank", "2", "--steps", "10", "--rounds", "2"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ss") is None, reason="needs the command ss, of iproute2")
@pytest.mark.timeout(180)
def test_adapters_push_and_pull_less_than_a_tenth_of_the_whole_model(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.lora", *SIZES, *LENGTHS, "--json", str(found)]
    with processes(tmp_path) as ours:
        assert ours.start(command).wait(170) == 0, ours.err()
        ours.until_gone()
    totals, per_ps = json.loads(found.read_text())["tables"]
    whole, lora = totals["rows"]
    assert [row["ps"] for row in per_ps["rows"]] == [0, 1, 0, 1]
    for way in ("pushed", "pulled"):
        assert whole["numbers"] < whole[way] < 1.2 * whole["numbers"]
        assert lora["numbers"] < lora[way] < 0.1 * whole[way]
    # Each of the 2 workers pulled what is frozen once; one may have come after the first epoch.
    assert 0.9 * whole["numbers"] < lora["first pull"] < 2.2 * whole["numbers"]
