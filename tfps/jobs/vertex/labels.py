"""Labels as Google Cloud takes them, which are fewer than Kubernetes does."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs.spec import JobSpec

_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_VALUE = re.compile(r"[-_a-z0-9]{0,63}")


def labels(spec: JobSpec) -> dict[str, str]:
    """Return those of a job's labels that Google Cloud takes."""
    return {key: value for key, value in spec.labels.items() if _is_taken(key, value)}


def labels_left_out(spec: JobSpec) -> Iterator[Fault]:
    """Say which it does not take."""
    for key, value in spec.labels.items():
        if not _is_taken(key, value):
            yield Fault(
                ("labels", key),
                f"'{key}: {value}' is not a label that Google Cloud takes. To have it there, write "
                "lowercase letters, digits, '-' and '_', with a letter first.",
            )


def _is_taken(key: str, value: str) -> bool:
    return bool(_KEY.fullmatch(key) and _VALUE.fullmatch(value))
