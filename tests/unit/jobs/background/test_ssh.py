"""The commands that run tasks on their hosts; tests/cluster/test_ssh.py runs them."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.unit.jobs.specs import spec
from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.tf_config import TFConfig
from tfps.errors import JobSpecError
from tfps.jobs.background.ssh import FIND, RUN, RemoteFolders, on_host, processes, render
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

ROLES = {
    "chief": Role(hosts=("a",)),
    "worker": Role(replicas=2, gpus=1, hosts=("b", "b"), restarts=5),
    "ps": Role(hosts=("c",), command=("sh", "-c", 'echo "it\'s $HOME"')),
    "evaluator": Role(hosts=("a",)),
}


def job() -> JobSpec:
    return spec(ROLES, checkpoint_dir="gs://bucket/run", env={"SAID": 'it\'s "$x"'})


def planned(folders: RemoteFolders | None = None) -> dict[str, TaskProcess]:
    folders = folders or RemoteFolders(working="/work it", path="/venv/bin")
    result = processes(job(), folders, {"HOME": "/home/me"}, lambda task: Path(f"{task}.log"))
    return {str(process.task): process for process in result}


def test_each_task_has_a_client_to_its_host() -> None:
    result = planned()
    assert [process.host for process in result.values()] == ["a", "b", "b", "c", "a"]
    for process in result.values():
        *client, host, _ = process.command
        assert (client[0], host) == ("ssh", process.host)
        assert process.environment == {"HOME": "/home/me"}
        assert process.output == Path(f"{process.task}.log")
        assert process.holds_input
    assert result["worker 1"].restarts == 5
    assert [name for name, process in result.items() if not process.is_needed] == ["evaluator 0"]


def test_the_hosts_shell_gets_folder_path_environment_and_command_as_they_are() -> None:
    bash, c, script, _, folder, path, env, *words = shlex.split(planned()["ps 0"].command[-1])
    assert [bash, c, script, folder, path, env] == [
        "bash",
        "-c",
        RUN,
        "/work it",
        "/venv/bin",
        "env",
    ]
    assert words[-3:] == ["sh", "-c", 'echo "it\'s $HOME"']
    assert 'SAID=it\'s "$x"' in words
    variables = dict(word.split("=", 1) for word in words[:-3])
    config = TFConfig.from_environment(variables)
    assert config is not None
    assert str(config.task) == "ps 0"
    assert config.cluster.worker == ("b:2222", "b:2223")


def test_tasks_of_a_host_have_gpus_of_their_own() -> None:
    result = planned()
    assert "CUDA_VISIBLE_DEVICES=1" in shlex.split(result["worker 1"].command[-1])
    assert "CUDA_VISIBLE_DEVICES=-1" in shlex.split(result["chief 0"].command[-1])


def test_a_job_without_hosts_is_a_fault() -> None:
    with pytest.raises(JobSpecError, match=r"roles: there are no hosts\. Give each role"):
        render(spec())


def test_a_rendering_has_a_document_for_each_task() -> None:
    rendering = render(job())
    assert [document["task"] for document in rendering.documents] == [
        "chief:0",
        "worker:0",
        "worker:1",
        "ps:0",
        "evaluator:0",
    ]
    assert [fault.where for fault in rendering.left_out] == ["image"]
    assert rendering == render(job())


def shell(script: str, folders: RemoteFolders, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a host's shell would, with an input that has ended."""
    line = on_host(script, folders, arguments)
    return subprocess.run(
        ["sh", "-c", line],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_programs_are_found_in_the_folder_and_on_the_path(tmp_path: Path) -> None:
    for name in ("here", "there/own"):
        program = tmp_path / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    folders = RemoteFolders(working=str(tmp_path), path=str(tmp_path / "there"))
    assert shell(FIND, folders, "./here", "own", "sh").returncode == 0
    done = shell(FIND, folders, "./own", "sh", "no-such")
    assert done.returncode == 1
    assert done.stderr == "program ./own was not found\nprogram no-such was not found\n"
    assert shell(FIND, RemoteFolders(working="/no/such"), "sh").returncode == 2


def test_a_folder_that_is_not_there_is_a_wrong_start() -> None:
    done = shell(RUN, RemoteFolders(working="/no/such"), "true")
    assert done.returncode == 2
    assert "/no/such" in done.stderr
