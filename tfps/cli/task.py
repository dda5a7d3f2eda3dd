"""`tfps task`: run the server of a worker or ps."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from tfps import errors
from tfps.cluster.server import serve_and_exit
from tfps.cluster.tf_config import TFConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskServer:
    """Run the server of a worker or ps, the task that TF_CONFIG names.

    Ends with code 0 after the chief's normal end, with 1 when the chief has been gone for the
    timeout, and with 143 on SIGTERM.
    """

    chief_timeout_s: float = 300.0
    """End when nothing has listened at the chief's address for this many seconds."""

    def run(self, program: Sequence[str]) -> int:
        """Run the server and return the exit code; 2 for a usage error or a faulty TF_CONFIG."""
        if program:
            return _usage_error("runs no program; leave out what follows --.")
        if self.chief_timeout_s <= 0:
            return _usage_error(f"--chief-timeout-s is {self.chief_timeout_s:g}; use more than 0.")
        try:
            config = TFConfig.from_environment()
            if config is None:
                return _usage_error(
                    "TF_CONFIG is not set. Set it to the cluster and to the task of this process, "
                    "or run tfps local, which does."
                )
            serve_and_exit(config, chief_timeout_s=self.chief_timeout_s)
        except (errors.TFConfigError, errors.TaskTypeError) as error:
            return _usage_error(str(error))
        except errors.ServerStartError as error:
            print(f"tfps task: {error}", file=sys.stderr)
            return 1


def _usage_error(message: str) -> int:
    for line in message.splitlines():
        print(f"tfps task: {line}", file=sys.stderr)
    return 2
