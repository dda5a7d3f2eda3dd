"""The objects of the simulated cluster, and a log of their changes."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable, Iterator

from tests.kubernetes import api_errors
from tests.kubernetes.kinds import POD, Kind
from tests.kubernetes.objects import Object, copy_of, is_going, timestamp

FOREGROUND = "foregroundDeletion"


@dataclasses.dataclass(frozen=True)
class Key:
    """Which object."""

    kind: Kind
    namespace: str
    name: str


@dataclasses.dataclass(frozen=True)
class Event:
    """What happened to an object: ADDED, MODIFIED or DELETED, and how it then was."""

    version: int
    type: str
    key: Key
    object: Object


class Store:
    """Objects by key. What goes in and out is a copy; every method may be called by any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._objects: dict[Key, Object] = {}
        self._events: list[Event] = []

    @property
    def version(self) -> int:
        """The number of changes so far."""
        return len(self._events)

    def get(self, key: Key) -> Object:
        """Return an object; raise ApiError when there is none."""
        with self._changed:
            if key not in self._objects:
                raise api_errors.not_found(key.kind, key.name)
            result: Object = copy_of(self._objects[key])
            return result

    def find(self, key: Key) -> Object | None:
        """Return an object, or None."""
        with self._changed:
            return copy_of(self._objects[key]) if key in self._objects else None

    def list(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """Return the objects of a kind, in the order of their names."""
        with self._changed:
            result = [
                (key.namespace, key.name, obj)
                for key, obj in self._objects.items()
                if key.kind is kind and namespace in (None, key.namespace)
            ]
            return [copy_of(obj) for _, _, obj in sorted(result, key=lambda item: item[:2])]

    def everything(self) -> dict[Key, Object]:
        """Return all objects."""
        with self._changed:
            return {key: copy_of(obj) for key, obj in self._objects.items()}

    def create(self, kind: Kind, obj: Object) -> Object:
        """Add an object, with what only the server can give it."""
        with self._changed:
            key = key_of(kind, obj)
            if key in self._objects:
                raise api_errors.already_exists(kind, key.name)
            created: Object = copy_of(obj)
            created["metadata"] |= {
                "uid": str(uuid.uuid4()),
                "creationTimestamp": timestamp(),
                "generation": 1,
            }
            return self._put("ADDED", key, created)

    def update(self, kind: Kind, obj: Object) -> Object:
        """Replace an object; with a resourceVersion, only if it is still that one."""
        with self._changed:
            key = key_of(kind, obj)
            old = self._objects.get(key)
            if old is None:
                raise api_errors.not_found(kind, key.name)
            new: Object = copy_of(obj)
            new["metadata"] |= {
                name: old["metadata"][name] for name in ("uid", "creationTimestamp", "generation")
            }
            wanted = obj["metadata"].get("resourceVersion", old["metadata"]["resourceVersion"])
            if wanted != old["metadata"]["resourceVersion"]:
                raise api_errors.conflict(kind, key.name, "the object has been modified")
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            if new == old:
                return copy_of(old)  # type: ignore[no-any-return]
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] += 1
            if is_going(new) and not new["metadata"].get("finalizers") and not _has_process(new):
                return self._drop(key, new)
            return self._put("MODIFIED", key, new)

    def change(self, key: Key, edit: Callable[[Object], None]) -> Object | None:
        """Edit an object in place, if it is there."""
        with self._changed:
            obj = self.find(key)
            if obj is None:
                return None
            edit(obj)
            return self.update(key.kind, obj)

    def delete(
        self, key: Key, *, propagation: str = "Background", grace_s: int | None = None
    ) -> Object:
        """Begin to delete an object; it is gone once nothing holds it."""
        with self._changed:
            obj = self.get(key)
            meta = obj["metadata"]
            finalizers = set(meta.get("finalizers") or ())
            if propagation == "Foreground" and key.kind is not POD:
                finalizers.add(FOREGROUND)
            if propagation == "Orphan":
                self._orphan(meta["uid"])
            if key.kind is POD:
                meta["deletionGracePeriodSeconds"] = _grace_s(obj, grace_s)
            if finalizers:
                meta["finalizers"] = sorted(finalizers)
            meta.setdefault("deletionTimestamp", timestamp())
            if not finalizers and not _has_process(obj):
                return self._drop(key, obj)
            return self._put("MODIFIED", key, obj)

    def wait(self, version: int, timeout_s: float) -> int:
        """Wait until something has changed since `version`; return the present one."""
        with self._changed:
            self._changed.wait_for(lambda: self.version > version, timeout_s)
            return self.version

    def since(self, version: int) -> Iterator[Event]:
        """Iterate over what has happened since `version`."""
        with self._changed:
            events = self._events[version:]
        yield from events

    def _orphan(self, uid: str) -> None:
        for key, obj in list(self._objects.items()):
            owners = obj["metadata"].get("ownerReferences") or []
            left = [item for item in owners if item["uid"] != uid]
            if left != owners:
                obj = copy_of(obj)
                obj["metadata"]["ownerReferences"] = left
                self._put("MODIFIED", key, obj)

    def _put(self, event: str, key: Key, obj: Object) -> Object:
        obj["metadata"]["resourceVersion"] = str(self.version + 1)
        self._objects[key] = obj
        self._note(event, key, obj)
        return copy_of(obj)  # type: ignore[no-any-return]

    def _drop(self, key: Key, obj: Object) -> Object:
        self._objects.pop(key)
        obj["metadata"]["resourceVersion"] = str(self.version + 1)
        self._note("DELETED", key, obj)
        return obj

    def _note(self, event: str, key: Key, obj: Object) -> None:
        self._events.append(Event(self.version + 1, event, key, copy_of(obj)))
        self._changed.notify_all()


def key_of(kind: Kind, obj: Object) -> Key:
    """Return the key of an object."""
    meta = obj["metadata"]
    namespace = str(meta.get("namespace", "default")) if kind.namespaced else ""
    return Key(kind, namespace, str(meta["name"]))


def _grace_s(pod: Object, asked_s: int | None) -> int:
    return pod["spec"].get("terminationGracePeriodSeconds", 30) if asked_s is None else asked_s


def _has_process(obj: Object) -> bool:
    """Return whether the object is a pod whose end the kubelet has still to see to."""
    return (
        obj.get("kind") == "Pod"
        and "nodeName" in obj["spec"]
        and obj["metadata"].get("deletionGracePeriodSeconds", 30) != 0
    )
