"""The subcommands that take a job spec: what they print, and their exit codes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.unit.jobs.specs import SMALL
from tfps import cli
from tfps.cli import cancel, logs, status, submit
from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.spec import JobSpec
from tfps.jobs.targets import JobStatus, TaskStatus

CHIEF, WORKER = Task(type="chief", index=0), Task(type="worker", index=0)
RUNNING = JobStatus(
    name="job",
    state="running",
    tasks=(
        TaskStatus(task=CHIEF, state="running", restarts=1, place="node-a"),
        TaskStatus(task=WORKER, state="pending", message="no node has a GPU left"),
    ),
)


@dataclasses.dataclass
class Platform:
    """A platform that has these answers, one after the other."""

    statuses: list[JobStatus]
    submitted: list[tuple[JobSpec, bool]] = dataclasses.field(default_factory=list)

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        self.submitted.append((spec, dry_run))
        return f"thing/{spec.name}"

    def status(self, spec: JobSpec) -> JobStatus:
        return self.statuses.pop(0)

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        yield f"{task} of {spec.name}"
        if follow:
            yield "and more"

    def cancel(self, spec: JobSpec) -> str:
        raise LaunchError(f"there is no job {spec.name!r}.\nSubmit it first.")


@pytest.fixture
def spec_file(tmp_path: Path) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(SMALL)
    return str(path)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    created = Platform([RUNNING, RUNNING, JobStatus(name="job", state="succeeded")])
    for module in (submit, status, logs, cancel):
        monkeypatch.setattr(module, "launcher", lambda target: created)
    return created


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(arguments)
    return code, out.getvalue(), err.getvalue()


def test_validate_says_which_targets_can_run_it(spec_file: str) -> None:
    code, out, err = run("validate", "-f", spec_file)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{spec_file}: valid"
    verdicts = dict(line.split(maxsplit=1) for line in lines[1:])
    assert verdicts["kubernetes"] == "yes"


def test_validate_for_a_target_checks_what_it_asks_for(spec_file: str) -> None:
    assert run("validate", "-f", spec_file, "--target", "jobset")[0] == 0
    Path(spec_file).write_text(SMALL.replace("image: tfps:0.1.0\n", ""))
    code, out, err = run("validate", "-f", spec_file, "--target", "jobset")
    assert (code, out) == (2, "")
    assert err.startswith(f"{spec_file}:1: image: there is none for chief, worker, ps.")


def test_render_prints_the_target_and_nothing_else(spec_file: str) -> None:
    code, out, err = run("render", "-f", spec_file, "--target", "jobset", "-n", "training")
    assert (code, err) == (0, "")
    documents = list(yaml.safe_load_all(out))
    assert documents[-1]["kind"] == "JobSet"
    assert {item["metadata"]["namespace"] for item in documents} == {"training"}
    as_json = json.loads(run("render", "-f", spec_file, "--target", "jobset", "-o", "json")[1])
    assert [item["kind"] for item in as_json["items"]] == [item["kind"] for item in documents]


def test_render_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SMALL.replace("name: job", "name: JOB")))
    code, out, err = run("render", "-f", "-", "--target", "kubernetes")
    assert (code, out) == (2, "")
    assert err.startswith("standard input:2: name: 'JOB'")


def test_render_tells_what_is_left_out_on_standard_error(spec_file: str) -> None:
    Path(spec_file).write_text(SMALL.replace("worker: {}", "worker: {hosts: [a]}"))
    code, out, err = run("render", "-f", spec_file, "--target", "kubernetes")
    assert code == 0
    assert out
    assert err.startswith(f"{spec_file}:7: roles.worker.hosts: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "-f", "no-such-file", "--target", "kubernetes"],
        ["render", "-f", "/", "--target", "kubernetes"],
        ["validate", "-f", "no-such-file", "--", "true"],
        ["logs", "-f", "SPEC", "--target", "local", "--task", "worker:7"],
        ["logs", "-f", "SPEC", "--target", "local", "--task", "master"],
    ],
)
def test_usage_errors_exit_with_2(
    arguments: Sequence[str], spec_file: str, platform: Platform
) -> None:
    code, out, err = run(*(spec_file if item == "SPEC" else item for item in arguments))
    assert (code, out) == (2, "")
    assert err.startswith(f"tfps {arguments[0]}: ")


def test_submit_prints_what_the_job_is_called(spec_file: str, platform: Platform) -> None:
    code, out, err = run("submit", "-f", spec_file, "--target", "kubernetes", "-n", "mine")
    assert (code, out, err) == (0, "thing/job\n", "")
    ((spec, dry_run),) = platform.submitted
    assert spec.kubernetes.namespace == "mine"
    assert not dry_run


def test_a_dry_run_says_so(spec_file: str, platform: Platform) -> None:
    code, out, _ = run("submit", "-f", spec_file, "--target", "kubernetes", "--dry-run", "--wait")
    assert (code, out) == (0, "thing/job (dry run)\n")
    assert platform.submitted[0][1]


@pytest.mark.parametrize(("last", "expected"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_waiting_ends_with_the_result_of_the_job(
    last: str, expected: int, spec_file: str, platform: Platform
) -> None:
    platform.statuses[-1] = JobStatus(name="job", state=last, message="why")  # type: ignore[arg-type]
    arguments = ["--target", "kubernetes", "--wait", "--poll-s", "0"]
    code, out, err = run("submit", "-f", spec_file, *arguments)
    assert (code, out) == (expected, "thing/job\n")
    # What has not changed is not said again.
    assert err.splitlines() == [
        "tfps submit: job running, 1 of 2 tasks run",
        f"tfps submit: job {last}: why",
    ]


def test_status_is_a_table(spec_file: str, platform: Platform) -> None:
    code, out, _ = run("status", "-f", spec_file, "--target", "kubernetes")
    assert code == 0
    assert out.splitlines() == [
        "job running, 1 of 2 tasks run",
        "TASK      STATE    RESTARTS  PLACE   MESSAGE",
        "chief:0   running  1         node-a",
        "worker:0  pending                    no node has a GPU left",
    ]


def test_status_is_data(spec_file: str, platform: Platform) -> None:
    platform.statuses[1] = RUNNING
    as_json = json.loads(run("status", "-f", spec_file, "--target", "jobset", "-o", "json")[1])
    as_yaml = yaml.safe_load(run("status", "-f", spec_file, "--target", "jobset", "-o", "yaml")[1])
    assert as_json == as_yaml
    assert as_json["tasks"][1]["task"] == {"type": "worker", "index": 0}


def test_logs_are_those_of_the_chief_or_of_a_task(spec_file: str, platform: Platform) -> None:
    assert run("logs", "-f", spec_file, "--target", "local")[:2] == (0, "chief 0 of job\n")
    arguments = ["--target", "local", "--task", "worker", "--follow"]
    assert run("logs", "-f", spec_file, *arguments)[:2] == (0, "worker 0 of job\nand more\n")


def test_a_platform_that_refuses_is_an_error_of_code_1(spec_file: str, platform: Platform) -> None:
    code, out, err = run("cancel", "-f", spec_file, "--target", "vertex")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "tfps cancel: there is no job 'job'.",
        "tfps cancel: Submit it first.",
    ]
