"""The `tfps` command: one module per subcommand. TensorFlow is imported only where it is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from tfps.cli.cancel import Cancel
from tfps.cli.doctor import Doctor
from tfps.cli.local import LocalCluster
from tfps.cli.logs import Logs
from tfps.cli.render import Render
from tfps.cli.status import Status
from tfps.cli.submit import Submit
from tfps.cli.task import TaskServer
from tfps.cli.validate import Validate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `tfps` command and return its exit code.

    Args:
        arguments: The command line without the program's name; None takes this process's.

    Raises:
        SystemExit: The arguments are wrong (code 2), or they asked for help (code 0).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options, program = _split_at_dashes(given)
    command = tyro.cli(
        Annotated[LocalCluster, tyro.conf.subcommand("local")]
        | Annotated[TaskServer, tyro.conf.subcommand("task")]
        | Doctor
        | Validate
        | Render
        | Submit
        | Status
        | Logs
        | Cancel,
        prog="tfps",
        description="Train Keras models on TensorFlow parameter servers.",
        args=options,
    )
    return command.run(program)


def _split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the options before the first `--`, and the program with its arguments after it."""
    if "--" not in arguments:
        return arguments, []
    dashes = arguments.index("--")
    return arguments[:dashes], arguments[dashes + 1 :]
