"""The API of the simulated cluster: it checks and stores objects, and enforces rights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tests.kubernetes import admission, api_errors, jobsets, patches, rbac, schemas
from tests.kubernetes.kinds import (
    BUDGET,
    JOB,
    JOB_SET,
    NAMESPACE,
    POD,
    ROLE,
    ROLE_BINDING,
    Kind,
    kind_of,
)
from tests.kubernetes.objects import (
    Object,
    copy_of,
    described,
    is_going,
    is_true,
    matches,
    set_condition,
)
from tests.kubernetes.store import Key, Store, key_of

ADMIN = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """How a client wants a change.

    Attributes:
        user: Who wants it.
        manager: Of the fields that it sets.
        dry_run: Whether all is checked and nothing kept.
        force: Whether it takes fields from other managers.
    """

    user: str = ADMIN
    manager: str = "unknown"
    dry_run: bool = False
    force: bool = False


class Api:
    """The objects of a cluster behind the rules of its API server."""

    def __init__(self, store: Store, kinds: Sequence[Kind]) -> None:
        self.store = store
        self.kinds = tuple(kinds)
        self._managers: dict[Key, dict[str, frozenset[patches.Path]]] = {}

    def authorize(self, user: str, kind: Kind, verb: str, key: Key, subresource: str = "") -> None:
        """Raise ApiError unless a user may do what is asked for."""
        resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
        asked = rbac.Attributes(
            verb=verb, group=kind.group, resource=resource, namespace=key.namespace, name=key.name
        )
        roles, bindings = self.store.list(ROLE), self.store.list(ROLE_BINDING)
        if user != ADMIN and not rbac.may(user, asked, roles, bindings):
            raise api_errors.forbidden(user, verb, kind, subresource, key.name, key.namespace)

    def create(self, key: Key, obj: Object, how: How) -> Object:
        """Add an object."""
        obj = self._completed(key, obj)
        self._check(key.kind, obj, None)
        self._check_grants(key, obj, how.user)
        if how.dry_run:
            if self.store.find(key):
                raise api_errors.already_exists(key.kind, key.name)
            return obj
        created = self.store.create(key.kind, obj)
        self._managers[key] = {how.manager: patches.fields_of(obj)}
        return created

    def apply(self, key: Key, config: Object, how: How) -> Object:
        """Make an object, or the fields of it that a manager wants, so."""
        config = self._completed(key, config)
        old = self.store.find(key)
        managers = self._managers.get(key, {}) if old else {}
        new, managers, conflicts = patches.applied(
            old, config, how.manager, managers, force=how.force
        )
        if conflicts:
            raise api_errors.ApiError(
                409, "Conflict", f"Apply failed with {len(conflicts)} conflict: {conflicts[0]}"
            )
        self._check(key.kind, new, old)
        self._check_grants(key, new, how.user)
        if how.dry_run:
            return new
        kept = self.store.update(key.kind, new) if old else self.store.create(key.kind, new)
        self._managers[key] = managers
        return kept

    def replace(self, key: Key, new: Object, how: How) -> Object:
        """Put an object in the place of one."""
        old = self.store.get(key)
        new = self._completed(key, new)
        self._check(key.kind, new, old)
        if how.dry_run:
            return new
        self._own(key, how.manager, patches.changed_fields(old, new))
        return self.store.update(key.kind, new)

    def patch(self, key: Key, patch: Object, how: How, *, strategic: bool) -> Object:
        """Merge a patch into an object."""
        return self.replace(
            key, patches.merged(self.store.get(key), patch, strategic=strategic), how
        )

    def scale(self, key: Key, replicas: int, how: How) -> Object:
        """Set the number of an object's replicas, and return its Scale."""

        def edit(obj: Object) -> None:
            obj["spec"]["replicas"] = replicas

        self.store.get(key)
        if not how.dry_run:
            self.store.change(key, edit)
            self._own(key, how.manager, frozenset({("spec", "replicas")}))
        return self.scale_of(key)

    def scale_of(self, key: Key) -> Object:
        """Return the Scale of an object."""
        obj = self.store.get(key)
        names = ("name", "namespace", "uid", "resourceVersion")
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {name: obj["metadata"][name] for name in names},
            "spec": {"replicas": obj["spec"].get("replicas", 1)},
            "status": {"replicas": obj.get("status", {}).get("replicas", 0)},
        }

    def delete(self, key: Key, how: How, propagation: str | None, grace_s: int | None) -> Object:
        """Delete an object."""
        if how.dry_run:
            return self.store.get(key)
        # Of old, the pods of a Job outlive it unless the client says otherwise.
        usual = "Orphan" if key.kind is JOB else "Background"
        return self.store.delete(key, propagation=propagation or usual, grace_s=grace_s)

    def evict(self, key: Key) -> None:
        """Delete a pod if its PodDisruptionBudgets let it go."""
        pod = self.store.get(key)
        for budget in self.store.list(BUDGET, key.namespace):
            if not self._spares(budget, pod):
                raise api_errors.ApiError(
                    429,
                    "TooManyRequests",
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    causes=[{"message": described(budget)}],
                )
        self.disrupt(key, "EvictionByEvictionAPI", "Eviction API: evicting")
        self.store.delete(key)

    def disrupt(self, key: Key, reason: str, message: str) -> None:
        """Note in a pod that it ends by no fault of its own."""

        def edit(pod: Object) -> None:
            set_condition(pod, "DisruptionTarget", True, reason, message)

        self.store.change(key, edit)

    def _spares(self, budget: Object, pod: Object) -> bool:
        selector = budget["spec"].get("selector")
        if not matches(selector, pod["metadata"].get("labels") or {}):
            return True
        pods = self.store.list(POD, pod["metadata"]["namespace"])
        chosen = [item for item in pods if matches(selector, item["metadata"].get("labels") or {})]
        ready = sum(is_true(item, "Ready") and not is_going(item) for item in chosen)
        if "minAvailable" in budget["spec"]:
            return ready > int(budget["spec"]["minAvailable"])
        return len(chosen) - ready < int(budget["spec"]["maxUnavailable"])

    def _completed(self, key: Key, obj: Object) -> Object:
        obj = copy_of(obj)
        if kind_of(obj, [key.kind]) is None:
            raise api_errors.bad_request(
                f"the object ({obj.get('apiVersion')} {obj.get('kind')}) does not match the "
                f"expected version ({key.kind.api_version} {key.kind.name})"
            )
        meta = obj.setdefault("metadata", {})
        if meta.get("name", key.name) != key.name:
            raise api_errors.bad_request(
                "the name of the object does not match the name on the URL"
            )
        meta["name"] = key.name
        if key.kind.namespaced and meta.setdefault("namespace", key.namespace) != key.namespace:
            raise api_errors.bad_request(
                "the namespace of the object does not match the namespace sent on the request"
            )
        return jobsets.with_defaults(obj) if key.kind is JOB_SET and "spec" in obj else obj

    def _check(self, kind: Kind, new: Object, old: Object | None) -> None:
        key = key_of(kind, new)
        if kind.namespaced and not self.store.find(Key(NAMESPACE, "", key.namespace)):
            raise api_errors.not_found(NAMESPACE, key.namespace)
        result = schemas.faults(kind, new)
        if result:
            raise api_errors.bad_request(f"strict decoding error: {', '.join(result)}")
        result = admission.faults(kind, new)
        if old is not None:
            result += admission.update_faults(kind, old, new)
            result += schemas.immutable_faults(kind, old, new)
        if result:
            raise api_errors.invalid(kind, key.name, result)

    def _check_grants(self, key: Key, obj: Object, user: str) -> None:
        """Raise ApiError when a user would grant what he may not do himself."""
        if user == ADMIN or key.kind not in (ROLE, ROLE_BINDING):
            return
        role = obj
        if key.kind is ROLE_BINDING:
            role = self.store.get(Key(ROLE, key.namespace, obj["roleRef"]["name"]))
        roles, bindings = self.store.list(ROLE), self.store.list(ROLE_BINDING)
        for asked in rbac.granted_by(role, key.namespace):
            if not rbac.may(user, asked, roles, bindings):
                raise api_errors.forbidden_grant(key.kind, key.name, user)

    def _own(self, key: Key, manager: str, fields: frozenset[patches.Path]) -> None:
        managers = self._managers.setdefault(key, {})
        for other in managers:
            managers[other] -= fields
        managers[manager] = managers.get(manager, frozenset()) | fields
