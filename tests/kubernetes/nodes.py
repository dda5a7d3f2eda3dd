"""Nodes, and the node of a pod, by labels and taints; resources are not counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tests.kubernetes.objects import Object, fulfilled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """A machine of the cluster.

    Attributes:
        name: Of the node.
        labels: By which pods choose it.
        taints: Each with key, value and effect; they keep pods away that do not tolerate them.
    """

    name: str
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()


def fitting(pod: Object, nodes: Sequence[Node]) -> Node | None:
    """Return the first node on which a pod may run, or None."""
    return next((node for node in nodes if not why_not(pod, node)), None)


def why_not(pod: Object, node: Node) -> str:
    """Return why a pod cannot run on a node, as the scheduler says it; empty when it can."""
    spec = pod["spec"]
    wanted = spec.get("nodeSelector") or {}
    if any(node.labels.get(key) != value for key, value in wanted.items()):
        return "didn't match Pod's node affinity/selector"
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if required and not any(_is_met(term, node) for term in required["nodeSelectorTerms"]):
        return "didn't match Pod's node affinity/selector"
    for taint in node.taints:
        tolerations = spec.get("tolerations") or ()
        if taint["effect"] != "PreferNoSchedule" and not any(
            _tolerates(item, taint) for item in tolerations
        ):
            return f"had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def refusal(pod: Object, nodes: Sequence[Node]) -> str:
    """Return the scheduler's message about a pod that fits no node."""
    reasons = [why_not(pod, node) for node in nodes]
    message = ", ".join(f"{reasons.count(item)} node(s) {item}" for item in dict.fromkeys(reasons))
    return f"0/{len(nodes)} nodes are available: {message}."


def _is_met(term: Object, node: Node) -> bool:
    return all(fulfilled(item, node.labels) for item in term.get("matchExpressions") or ())


def _tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in (None, taint["effect"]):
        return False
    if "key" in toleration and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return toleration.get("value", "") == taint.get("value", "")
