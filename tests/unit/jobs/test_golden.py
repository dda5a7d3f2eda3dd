"""The golden files: what cluster_specs/ is rendered to, and the faults of bad specs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.golden import bad_specs, rendered
from tfps.jobs.rendering import write
from tfps.jobs.targets import renderer

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
    (job_file,) = (item for item in SPECS if item.name == name)
    rendering = renderer(target)(job_file.spec())  # type: ignore[arg-type]
    from_json = json.loads(write(rendering, "json"))
    if isinstance(from_json, dict) and from_json.get("kind") == "List":
        from_json = from_json["items"]
    from_yaml = list(yaml.safe_load_all(write(rendering, "yaml")))
    assert from_yaml in (from_json, [from_json])


@pytest.mark.parametrize("job_file", SPECS, ids=[spec.name for spec in SPECS])
def test_a_spec_says_when_to_use_it_and_how(job_file: rendered.JobFile) -> None:
    header = job_file.text.split("apiVersion:")[0]
    assert header.startswith("# Use it ")
    command = rf"tfps (submit|render) -f cluster_specs/{job_file.name}\.yaml --target ([-a-z]+)"
    targets = [match[1] for match in re.findall(command, header)]
    assert targets
    names = {path.name for path in RENDERED}
    assert all(
        any(name.startswith(f"{job_file.name}.{target}.") for name in names) for target in targets
    )


CASES = bad_specs.read()


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_every_fault_is_told(case: bad_specs.BadSpec, tmp_path: Path) -> None:
    code, message = case.validate(tmp_path)
    assert code == 2
    assert message == case.message


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_fault_has_its_line_its_path_and_what_to_do(case: bad_specs.BadSpec) -> None:
    lines = case.spec.splitlines() or [""]
    assert case.message
    for message in case.message.splitlines():
        number, path, sentence = _parts(message)
        assert 1 <= number <= len(lines)
        last_key = re.split(r"[.\[]", path)[-1].rstrip("]")
        if "missing" not in sentence and "there is none" not in sentence and not last_key.isdigit():
            assert last_key in lines[number - 1]
        assert re.search(r"\. [A-Z]|must be|is not one of", sentence)  # What to do.


def test_cases_have_titles_of_their_own() -> None:
    assert len({case.title for case in CASES}) == len(CASES) > 40


def _parts(message: str) -> tuple[int, str, str]:
    match = re.fullmatch(r"spec\.yaml:(\d+): (?:([\w.\[\]-]+): )?(.*)", message)
    assert match is not None, message
    return int(match[1]), match[2] or "", match[3]
