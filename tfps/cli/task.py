"""`tfps task`: run the server of a worker or ps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfps import errors
from tfps.cli.usage import TAKES_NO_PROGRAM, usage_error
from tfps.cluster.server import serve_and_exit
from tfps.cluster.tf_config import TFConfig
from tfps.log import say


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskServer:
    """Run the server of the task that TF_CONFIG names, a worker or ps.

    The exit code is 0 after the chief's normal end, 1 if the chief could not be reached for the
    time of the timeout, and 143 after SIGTERM.
    """

    chief_timeout_s: float = 300.0
    """Seconds after which the server ends if nothing listens at the chief's address."""

    def run(self, program: Sequence[str]) -> int:
        """Run the server and return the exit code; 2 for a usage error or a faulty TF_CONFIG."""
        if program:
            return usage_error("task", [TAKES_NO_PROGRAM])
        if self.chief_timeout_s <= 0:
            fault = f"--chief-timeout-s is {self.chief_timeout_s:g}; use more than 0."
            return usage_error("task", [fault])
        try:
            config = TFConfig.from_environment()
            if config is None:
                fault = (
                    "TF_CONFIG is not set. Set it to the cluster and to the task of this process, "
                    "or run tfps local, which does."
                )
                return usage_error("task", [fault])
            serve_and_exit(config, chief_timeout_s=self.chief_timeout_s)
        except (errors.TFConfigError, errors.TaskTypeError) as error:
            return usage_error("task", str(error).splitlines())
        except errors.ServerStartError as error:
            say(str(error), "tfps task")
            return 1
