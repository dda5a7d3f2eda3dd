"""The garbage collector: it deletes objects whose owner is gone."""

from __future__ import annotations

from tests.kubernetes.objects import Object, is_going, owner_uids
from tests.kubernetes.store import FOREGROUND, Store


def reconcile(store: Store) -> None:
    """Delete what has lost its owner, and end foreground deletions whose dependents are gone."""
    objects = store.everything()
    uids = {obj["metadata"]["uid"] for obj in objects.values()}
    leaving = {obj["metadata"]["uid"] for obj in objects.values() if _holds_on(obj)}
    for key, obj in objects.items():
        owners = set(owner_uids(obj))
        if owners and not is_going(obj):
            if not uids & owners:
                store.delete(key)
            elif leaving & owners:
                store.delete(key, propagation="Foreground")
    needed = {uid for obj in objects.values() for uid in owner_uids(obj)}
    for key, obj in objects.items():
        if _holds_on(obj) and obj["metadata"]["uid"] not in needed:
            store.change(key, _let_go)


def _holds_on(obj: Object) -> bool:
    """Return whether an object stays only until its dependents are gone."""
    return is_going(obj) and FOREGROUND in (obj["metadata"].get("finalizers") or ())


def _let_go(obj: Object) -> None:
    obj["metadata"]["finalizers"].remove(FOREGROUND)
