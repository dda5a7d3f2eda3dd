"""What every spec of cluster_specs/ is rendered to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.golden import rendered
from tfps.jobs.targets import renderer
from tfps.jobs.writing import write

SPECS = rendered.specs()
RENDERED = dict(rendered.render_all())


def test_golden_files_are_those_of_the_specs() -> None:
    assert sorted(rendered.FOLDER.iterdir()) == sorted(RENDERED)


@pytest.mark.parametrize("path", RENDERED, ids=[path.name for path in RENDERED])
def test_a_rendering_is_what_it_was(path: Path) -> None:
    assert RENDERED[path] == path.read_text(), "See python -m tests.golden."


@pytest.mark.parametrize("path", RENDERED, ids=[path.name for path in RENDERED])
def test_json_and_yaml_hold_the_same(path: Path) -> None:
    name, target, _ = path.name.rsplit(".", 2)
    (job_file,) = (one for one in SPECS if one.name == name)
    rendering = renderer(target)(job_file.spec())  # type: ignore[arg-type]
    from_json = json.loads(write(rendering, "json"))
    if isinstance(from_json, dict) and from_json.get("kind") == "List":
        from_json = from_json["items"]
    from_yaml = list(yaml.safe_load_all(write(rendering, "yaml")))
    assert from_yaml in (from_json, [from_json])


@pytest.mark.parametrize("job_file", SPECS, ids=[spec.name for spec in SPECS])
def test_a_spec_says_when_to_take_it_and_how(job_file: rendered.JobFile) -> None:
    header = job_file.text.split("apiVersion:")[0]
    assert header.startswith("# Take it ")
    command = rf"tfps (submit|render) -f cluster_specs/{job_file.name}\.yaml --target ([-a-z]+)"
    targets = [match[1] for match in re.findall(command, header)]
    assert targets
    names = {path.name for path in RENDERED}
    assert all(
        any(name.startswith(f"{job_file.name}.{target}.") for name in names) for target in targets
    )
