"""The Python code in README and docs/ runs, and README's trains."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

import tfps
from tfps.quiet import LOG_LEVEL, is_noise

ROOT = Path(__file__).parents[2]


def code_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def names_after(page: str) -> dict[str, Any]:
    """What the code of a page defines, when its blocks run one after the other."""
    names: dict[str, Any] = {}
    blocks = code_of(page)
    assert blocks, page
    for block in blocks:
        exec(block, names)
    return names


@pytest.mark.timeout(120)
def test_the_script_trains_on_the_embedded_cluster(tmp_path: Path) -> None:
    [code] = code_of("README.md")
    assert len(code.splitlines()) <= 25
    script = tmp_path / "shelves.py"
    script.write_text(code)
    environment = {name: value for name, value in os.environ.items() if name != LOG_LEVEL}
    ended = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    # TensorFlow, which the script imports before tfps, logs some lines during its import. Now and
    # then a warning follows that `tfps local` would drop.
    lines = ended.stderr.splitlines()
    lines = [line for line in lines if line[:1] != "W" or not is_noise(line.encode())]
    assert len(lines) < 10, ended.stderr
    accuracies = [float(value) for value in re.findall(r"accuracy: ([\d.]+)", ended.stdout)]
    assert accuracies[0] < 0.2 < 0.9 < accuracies[-1]


@pytest.mark.usefixtures("make_strategy")
@pytest.mark.parametrize("page", ["docs/parameters.md", "docs/updates.md", "docs/wire.md"])
def test_the_strategies_of_a_page_can_be_made(page: str) -> None:
    assert isinstance(names_after(page)["strategy"], tfps.ParameterServerStrategy)


@pytest.mark.parametrize(
    ("page", "package"),
    [
        *(("docs/wire.md", tfps.wire), ("docs/updates.md", tfps.update)),
        ("docs/benchmarks.md", tfps.update),
    ],
)
def test_codecs_and_policies_that_a_page_names_can_be_made(page: str, package: Any) -> None:
    names = {name: getattr(package, name) for name in package.__all__}
    text = (ROOT / page).read_text()
    calls = [x for x in re.findall(r"`(\w+\(.*?\))`", text) if x.split("(")[0] in names]
    assert len(calls) > 10
    for call in calls:
        eval(call, {**names, "bound": 1})


def test_the_data_function_trains(strategy: tfps.ParameterServerStrategy) -> None:
    numbers = names_after("docs/data.md")["numbers"]
    with strategy.scope():
        model = keras.Sequential([keras.layers.Rescaling(1.0), keras.layers.Dense(1)])
        model.compile("sgd", "mse")

    def pairs(context: Any) -> Any:
        return numbers(context).map(lambda x: (x[:, None] / 1000, x / 1000))

    history = model.fit(pairs, epochs=1, steps_per_epoch=4, verbose=0)
    assert history.history["loss"][0] < 10


def test_the_evaluator_of_the_page_can_be_made() -> None:
    evaluator = names_after("docs/evaluator.md")["evaluate"]()
    assert isinstance(evaluator, tfps.SidecarEvaluator)
