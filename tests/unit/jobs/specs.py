"""Job specs for tests."""

from __future__ import annotations

from typing import Any

from tfps.jobs.file import JobFile
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec, Roles

SMALL = """\
apiVersion: tfps/v1
name: job
image: tfps:0.1.0
command: [python, train.py]
roles:
  ps: {}
  worker: {}
"""


def read(text: str) -> JobSpec:
    return JobFile(name="spec.yaml", text=text).spec()


def spec(roles: dict[str, Role] | None = None, **fields: Any) -> JobSpec:
    """Make a small spec; roles and fields that are given go before its own."""
    return JobSpec(
        **{
            "name": "job",
            "image": "tfps:0.1.0",
            "command": ("python", "train.py"),
            "roles": Roles(**{"ps": Role(), "worker": Role(), **(roles or {})}),
            **fields,
        }
    )
