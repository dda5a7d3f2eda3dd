"""The StatefulSet controller: pods with ordinals, which are replaced under the same name."""

from __future__ import annotations

from tests.kubernetes.kinds import POD, STATEFUL_SET
from tests.kubernetes.objects import Object, is_going, is_true, name_of, owned
from tests.kubernetes.pods import ordinals, stateful_set_pod
from tests.kubernetes.store import Store, key_of


def reconcile(store: Store) -> None:
    """Make and delete the pods of all StatefulSets."""
    for stateful_set in store.list(STATEFUL_SET):
        pods = owned(store.list(POD), stateful_set)
        if not is_going(stateful_set):
            _scale(store, stateful_set, {name_of(pod): pod for pod in pods})
        _tell_status(store, stateful_set, pods)


def _scale(store: Store, stateful_set: Object, pods: dict[str, Object]) -> None:
    wanted = [stateful_set_pod(stateful_set, ordinal) for ordinal in ordinals(stateful_set)]
    in_order = stateful_set["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    for pod in wanted:
        present = pods.get(name_of(pod))
        if present is None:
            store.create(POD, pod)
        elif present.get("status", {}).get("phase") in ("Failed", "Succeeded"):
            _delete(store, present)
        if in_order and (present is None or not is_true(present, "Ready")):
            return
    names = {name_of(pod) for pod in wanted}
    excess = [pod for name, pod in sorted(pods.items(), reverse=True) if name not in names]
    for pod in excess[:1] if in_order else excess:
        _delete(store, pod)


def _delete(store: Store, pod: Object) -> None:
    if not is_going(pod):
        store.delete(key_of(POD, pod))


def _tell_status(store: Store, stateful_set: Object, pods: list[Object]) -> None:
    def edit(obj: Object) -> None:
        obj["status"] = {
            **obj.get("status", {}),
            "observedGeneration": obj["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": sum(is_true(pod, "Ready") for pod in pods),
            "currentReplicas": len(pods),
        }

    store.change(key_of(STATEFUL_SET, stateful_set), edit)
