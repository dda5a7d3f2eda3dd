"""Messages: what is one, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.unit.doctor.sample_job import OTHER_PS, WORKER, facts
from tfps.cluster.spec import Task
from tfps.doctor import protocol
from tfps.doctor.observations import CallFailure, FailureKind, TaskFacts
from tfps.doctor.protocol import ProtocolError


def test_a_message_is_read() -> None:
    assert protocol.parse(b'{"doctor": 1, "ask": "facts"}')["ask"] == "facts"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"GET / HTTP/1.1",
        b"[]",
        b"null",
        b"{}",
        b'{"doctor": 2}',
        b'{"doctor": 1',
        b"[" * 200_000,
        b'{"doctor": ' + b"9" * 100_000 + b"}",
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.parse(content)


def test_another_protocol_is_named() -> None:
    with pytest.raises(ProtocolError, match="speaks protocol 2 instead of 1"):
        protocol.parse(b'{"doctor": 2}')


def test_facts_survive_the_wire_and_so_do_keys_of_later_versions() -> None:
    said = facts(WORKER, port_fault="taken")
    content = json.loads(json.dumps(dataclasses.asdict(said))) | {"mood": "good"}
    assert protocol.read(TaskFacts, content) == said


@pytest.mark.parametrize("key", ["cluster", "limits", "task", "versions"])
@pytest.mark.parametrize("value", [5, "no", [1]])
def test_facts_of_another_form_are_refused(key: str, value: object) -> None:
    with pytest.raises(ProtocolError, match="sends no TaskFacts: "):
        protocol.read(TaskFacts, dataclasses.asdict(facts(WORKER)) | {key: value})


@pytest.mark.parametrize("task", [{"type": "boss", "index": 0}, {"type": "ps", "index": -1}])
def test_a_task_that_cannot_be_is_refused(task: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="sends no Task: "):
        protocol.read(Task, task)


def test_lists_of_tasks_and_of_faults_are_read() -> None:
    tasks = (WORKER, OTHER_PS)
    content = json.loads(json.dumps([dataclasses.asdict(task) for task in tasks]))
    assert protocol.read(tuple[Task, ...], content) == tasks
    fault = CallFailure(kind=FailureKind.SILENT, detail="no answer")
    mixed = json.loads(json.dumps([None, dataclasses.asdict(fault)]))
    assert protocol.read(tuple[CallFailure | None, ...], mixed) == (None, fault)
