"""Whether a pod may reach another by the NetworkPolicies of its namespace: a pure function."""

from __future__ import annotations

from collections.abc import Iterable

from tests.kubernetes.objects import Object, labels_of, matches


def may_reach(source: Object, target: Object, port: int, policies: Iterable[Object]) -> bool:
    """Return whether one pod may open a connection to a port of another."""
    chosen = [
        policy["spec"]
        for policy in policies
        if _namespace(policy) == _namespace(target)
        and matches(policy["spec"]["podSelector"], labels_of(target))
        and "Ingress" in policy["spec"].get("policyTypes", ["Ingress"])
    ]
    rules = [rule for spec in chosen for rule in spec.get("ingress") or ()]
    return not chosen or any(_lets_in(rule, source, target, port) for rule in rules)


def _lets_in(rule: Object, source: Object, target: Object, port: int) -> bool:
    ports, peers = rule.get("ports"), rule.get("from")
    if ports and not any(item.get("port") == port for item in ports):
        return False
    return not peers or any(_is_peer(peer, source, target) for peer in peers)


def _is_peer(peer: Object, source: Object, target: Object) -> bool:
    if set(peer) != {"podSelector"}:
        raise NotImplementedError(f"peer by {', '.join(peer)}")
    same_namespace = _namespace(source) == _namespace(target)
    return same_namespace and matches(peer["podSelector"], labels_of(source))


def _namespace(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", "default"))
