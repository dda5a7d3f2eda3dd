"""Amounts as Kubernetes writes them."""

from __future__ import annotations


def cores(cpu: float) -> str:
    """Write a number of cores, e.g. 4.0 as `4` and 0.5 as `500m`."""
    return str(int(cpu)) if cpu == int(cpu) else f"{round(cpu * 1000)}m"


def gibibytes(amount: float) -> str:
    """Write GiB, e.g. 16.0 as `16Gi` and 1.5 as `1536Mi`."""
    return f"{int(amount)}Gi" if amount == int(amount) else f"{round(amount * 1024)}Mi"
