"""`tfps local` with real processes: output, exit codes, and no process left however it ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster.processes import Processes, processes, program, until

pytestmark = pytest.mark.timeout(120)

TASKS = ("chief:0", "worker:0", "worker:1", "ps:0")
FAMILY_OF_FOUR_TASKS = 4 * 3


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path) as ours:
        yield ours


def local(*command: str, options: tuple[str, ...] = ()) -> list[str]:
    size = ("--ps", "1", "--workers", "2")
    return [sys.executable, "-m", "tfps", "local", *size, *options, "--", *command]


def only_chief(script: str, *, others: str) -> str:
    """Return a shell script of which the chief runs one part and the other tasks the other."""
    return f'case "$TF_CONFIG" in *\'"type": "chief"\'*) {script};; *) {others};; esac'


def children_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def start_family(job: Processes, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a job whose tasks have children; return when all of them live."""
    launcher = job.start(local(*program("family.py", *arguments)))
    until(lambda: job.out().count("has children") == 4)
    assert len(job.living()) == FAMILY_OF_FOUR_TASKS + 2  # The launcher is two processes.
    return launcher


def test_the_chiefs_output_is_untouched_and_the_others_lines_are_prefixed(job: Processes) -> None:
    launcher = job.start(local(*program("speak.py", "chief:0=0")))
    assert launcher.wait(60) == 0
    assert "progress 1/2\rprogress 2/2\r\nout of chief:0" in job.out()
    assert "err of chief:0" in job.err().splitlines()


def test_tasks_speak_with_their_prefix_and_may_end_well_before_the_chief(job: Processes) -> None:
    launcher = job.start(local(*program("speak.py", "chief:0=wait")))
    for task in TASKS[1:]:
        until(lambda task=task: f"[{task}] out of {task} at" in job.out())  # type: ignore[misc]
        until(lambda task=task: f"[{task}] err of {task}\n" in job.err())  # type: ignore[misc]
        assert f"[{task}] progress 1/2\n[{task}] progress 2/2\n" in job.out()

    until(lambda: job.out().count("out of") == len(TASKS))
    clusters = set(re.findall(r"at (.*)", job.out()))
    assert len(clusters) == 1  # They all know the same one, of different addresses.
    assert len(set(re.findall(r"127\.0\.0\.1:\d+", clusters.pop()))) == len(TASKS)

    until(lambda: len(job.living()) == 3)  # The launcher's two, and the chief.
    assert launcher.poll() is None
    launcher.terminate()
    assert launcher.wait(60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_the_chiefs(code: int, job: Processes) -> None:
    waiting = [f"{task}=wait" for task in TASKS[1:]]
    command = program("speak.py", f"chief:0={code}", *waiting)
    launcher = job.start([*program("patient_local.py", "0.3"), *command])
    assert launcher.wait(60) == code
    assert ("the chief ended with code 3" in job.err()) is (code == 3)
    job.until_gone()


def test_a_chief_that_was_killed_gives_the_shells_code(job: Processes) -> None:
    launcher = job.start(local("sh", "-c", only_chief("kill -9 $$", others="sleep 600")))
    assert launcher.wait(60) == 128 + signal.SIGKILL
    assert "the chief was ended by SIGKILL" in job.err()
    job.until_gone()


def test_a_failed_task_ends_the_job_and_is_named_with_its_last_lines(job: Processes) -> None:
    command = program("speak.py", "worker:1=7", "worker:0=wait", "ps:0=wait", "chief:0=wait")
    launcher = job.start(local(*command))
    assert launcher.wait(60) == 1
    report = job.err().split("tfps local: worker 1 ended with code 7. Its last lines:\n")[1]
    assert "[worker:1] err of worker:1\n" in report
    job.until_gone()


def test_a_failed_task_is_noticed_though_its_children_hold_its_output(job: Processes) -> None:
    launcher = job.start(local(*program("family.py", "orphan")))
    assert launcher.wait(60) == 1
    assert "worker 0 ended with code 7" in job.err()
    job.until_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process(number: signal.Signals, job: Processes) -> None:
    launcher = start_family(job)
    launcher.send_signal(number)
    assert launcher.wait(30) == 128 + number
    job.until_gone()


def test_ctrl_c_in_a_terminal_ends_every_process(job: Processes) -> None:
    command = local("sh", "-c", "test -t 1 && echo on a terminal; exec sleep 600")
    launcher, terminal = pty.fork()
    if launcher == 0:
        os.execvpe(command[0], command, {**os.environ, **job.environment})
    shown = b""
    while b"on a terminal" not in shown:
        shown += os.read(terminal, 4096)
    assert b"] on a terminal" not in shown  # Only the chief's, so that its progress bar works.
    os.write(terminal, b"\x03")
    _, status = os.waitpid(launcher, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT
    job.until_gone()


def test_sigkill_of_the_launcher_leaves_no_process(job: Processes) -> None:
    launcher = start_family(job, "stubborn")
    launcher.kill()
    launcher.wait(10)
    job.until_gone()


def test_sigkill_of_the_launchers_process_group_leaves_no_process(job: Processes) -> None:
    launcher = start_family(job, "stubborn")
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait(10)
    job.until_gone()


def test_sigkill_of_the_launchers_child_leaves_no_process(job: Processes) -> None:
    launcher = start_family(job, "stubborn")
    (supervisor,) = children_of(launcher)
    supervisor.kill()
    assert launcher.wait(30) == 128 + signal.SIGKILL
    job.until_gone()


def test_sigkill_of_the_launcher_and_its_child_at_once_ends_the_tasks(job: Processes) -> None:
    launcher = job.start(local(*program("speak.py", *[f"{task}=wait" for task in TASKS])))
    until(lambda: job.out().count("out of") == len(TASKS))
    (supervisor,) = children_of(launcher)
    os.kill(launcher.pid, signal.SIGSTOP)  # So that it cannot clean up after its child.
    supervisor.kill()
    launcher.kill()
    launcher.wait(10)
    job.until_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stubborn_tasks_are_killed(number: signal.Signals, job: Processes) -> None:
    launcher = job.start([*program("patient_local.py", "0.3"), *program("family.py", "stubborn")])
    until(lambda: job.out().count("has children") == 3)
    launcher.send_signal(number)
    assert launcher.wait(30) == 128 + number
    job.until_gone()


def test_a_second_signal_does_not_wait_for_stubborn_tasks(job: Processes) -> None:
    launcher = job.start([*program("patient_local.py", "600"), *program("family.py", "stubborn")])
    until(lambda: job.out().count("has children") == 3)
    launcher.terminate()
    until(lambda: "SIGTERM: stopping all tasks" in job.err())
    launcher.terminate()
    assert launcher.wait(30) == 143
    job.until_gone()


def test_a_reader_that_goes_away_does_not_stop_the_job(job: Processes) -> None:
    command = local("sh", "-c", only_chief("exit 0", others="echo a line; echo another"))
    launcher = job.start(["bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "-", *command])
    assert launcher.wait(60) == 0, job.err()
    assert "Traceback" not in job.err()
    job.until_gone()


# test_evaluator.py sees the same of a job of one worker, which has an evaluator, too.
@pytest.mark.slow
def test_a_script_of_tfps_run_trains_and_every_process_ends(job: Processes) -> None:
    launcher = job.start(local(*program("train.py"), options=("--threads-per-worker", "1")))
    assert launcher.wait(90) == 0, job.err()
    assert job.out() == "steps: 20\n"
    assert "Failed to" not in job.err()
    assert "tfps" not in job.err()
    lines = job.err().splitlines()
    assert len(lines) < 10, lines  # The chief's own, from TensorFlow's import.
    assert not [line for line in lines if line.startswith("[")], lines
    job.until_gone()
