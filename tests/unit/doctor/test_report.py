"""The report: tables for people, JSON for programs."""

from __future__ import annotations

import io
import json

import pytest

from tests.unit.doctor.sample_job import (
    OTHER_WORKER,
    PS,
    VERSIONS,
    WORKER,
    alone,
    facts,
    links,
    observed,
)
from tfps.cluster.spec import ClusterSpec
from tfps.doctor import checks, report
from tfps.doctor.findings import Finding, Level, worst
from tfps.doctor.observations import CallFailure, FailureKind, JobObservations

SUPPORTED = {"Keras": ">=3.15,<3.16"}
GONE = {PS: CallFailure(kind=FailureKind.REFUSED, detail="connection refused")}


def shown(job: JobObservations, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    report.show(job, checks.judge(job, supported=SUPPORTED), out)
    return out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_job_that_is_well_has_nothing_to_do() -> None:
    text = shown(observed(links=links()))
    assert "WHAT TO DO" not in text
    assert text.splitlines()[-1] == "result: ok (0 red, 0 warn, 14 ok)"


def test_a_red_line_is_followed_by_what_to_do() -> None:
    job = observed(missing=GONE, links=links())
    lines = shown(job).splitlines()
    red = [line.split()[:2] for line in lines if line.startswith("red")]
    assert red == [["red", "tasks"], ["red", "tasks"]]
    assert lines[-1] == "result: red (1 red, 0 warn, 13 ok)"


def test_a_pipe_gets_plain_lines_that_are_not_cut() -> None:
    long = "a-quite-long-name-of-a-worker-0.the-job.the-namespace.svc.cluster.local:2222"
    spec = ClusterSpec(chief=("a:1",), worker=(long, "[::1]:7"), ps=("b:2", "c:3"))
    text = shown(observed(spec=spec, links=links()))
    assert "\x1b" not in text
    assert long in text
    assert "[::1]:7" in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mok" in shown(observed(), Terminal())


def test_brackets_are_shown_as_they_are() -> None:
    found = Finding(check="GPU", level=Level.RED, says="none", to_do="pip install 'a[b]' :tada:")
    out = io.StringIO()
    report.show(observed(), [found], out)
    assert "pip install 'a[b]' :tada:" in out.getvalue()


def test_a_task_cannot_command_the_terminal() -> None:
    text = shown(observed(facts(PS, host="\x1b[2Jhost\r\n")))
    assert "?[2Jhost??" in text
    assert "\x1b" not in text


def test_versions_are_listed_once_where_they_are_equal() -> None:
    other = facts(OTHER_WORKER, versions={**VERSIONS, "numpy": "2.3.0"})
    lines = [line.split() for line in shown(observed(other)).splitlines()]
    assert ["Keras", "3.15.1", "all", "5"] in lines
    assert ["numpy", "2.3.0", "worker", "1"] in lines


def test_a_machine_alone_has_no_network() -> None:
    text = shown(alone())
    assert "reachability" not in text
    assert "this machine" in text


def test_json_has_what_the_tables_have() -> None:
    job = observed(missing=GONE, links=links(), left_out=((WORKER, PS),))
    findings = checks.judge(job, supported=SUPPORTED)
    content = json.loads(report.as_json(job, findings))
    assert content["level"] == "red"
    assert content["missing"] == {"ps 0": "connection refused"}
    assert [one["level"] for one in content["findings"]] == [str(one.level) for one in findings]
    assert content["tasks"]["worker 0"]["facts"]["versions"] == VERSIONS
    assert len(content["links"]) == 8
    assert content["links_left_out"] == [["worker 0", "ps 0"]]


def test_the_worst_level_counts() -> None:
    assert worst([]) is Level.OK
    assert [str(level) for level in sorted(Level)] == ["ok", "warn", "red"]
