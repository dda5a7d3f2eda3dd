"""The Job NAME-ending, which scales the StatefulSets of a job to zero once its chief has ended.

What it runs is `ending`. It may read the chief's Job, scale the job's StatefulSets, delete the
evaluator's Job, and do nothing else.
"""

from __future__ import annotations

from tfps.jobs.kubernetes.pods import container_security, pod_security, pull_secrets
from tfps.jobs.kubernetes.shared import Object, labels, metadata, without_empty
from tfps.jobs.spec import JobSpec


def ending_objects(spec: JobSpec) -> list[Object]:
    """Return the Job, and the account by which it may do what it does."""
    name = f"{spec.name}-ending"
    meta = metadata(spec, name, "ending")
    account = {"kind": "ServiceAccount", "name": name}
    if spec.kubernetes.namespace:
        account["namespace"] = spec.kubernetes.namespace
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": _rules(spec),
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [account],
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": meta,
            "spec": {
                "backoffLimit": 6,
                "ttlSecondsAfterFinished": spec.kubernetes.keep_s,
                "template": _ending_template(spec, name),
            },
        },
    ]


def _rules(spec: JobSpec) -> list[Object]:
    rules = [
        _rule("batch", "jobs", "get", f"{spec.name}-chief"),
        _rule("apps", "statefulsets/scale", "patch", f"{spec.name}-ps", f"{spec.name}-worker"),
    ]
    if spec.roles.evaluator is not None:
        rules.append(_rule("batch", "jobs", "delete", f"{spec.name}-evaluator"))
    return rules


def _rule(group: str, resource: str, verb: str, *names: str) -> Object:
    return {
        "apiGroups": [group],
        "resources": [resource],
        "resourceNames": list(names),
        "verbs": [verb],
    }


def _ending_template(spec: JobSpec, account: str) -> Object:
    container = {
        "name": "ending",
        "image": spec.image_of(spec.roles.chief),
        "imagePullPolicy": spec.kubernetes.image_pull_policy,
        "command": ["python", "-m", "tfps.jobs.kubernetes.ending", spec.name],
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "128Mi"},
        },
        "securityContext": container_security(),
    }
    pod = {
        "restartPolicy": "OnFailure",
        "serviceAccountName": account,
        "enableServiceLinks": False,
        "imagePullSecrets": pull_secrets(spec),
        "securityContext": pod_security(spec),
        "containers": [without_empty(container)],
    }
    return {"metadata": {"labels": labels(spec, "ending")}, "spec": without_empty(pod)}
