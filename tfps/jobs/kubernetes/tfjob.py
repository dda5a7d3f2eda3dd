"""A job as a TFJob, of Kubeflow's Training Operator v1.

The operator sets the TF_CONFIG of each pod, and creates a Service with the pod's name.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs.kubernetes.limits import check, left_out
from tfps.jobs.kubernetes.objects import Object, guards, metadata
from tfps.jobs.kubernetes.pods import pod_template
from tfps.jobs.rendering import Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

_REPLICA_TYPES = {"chief": "Chief", "worker": "Worker", "ps": "PS", "evaluator": "Evaluator"}


def render(spec: JobSpec) -> Rendering:
    """Render a job as a TFJob, and the objects that guard its pods.

    Raises:
        JobSpecError: Kubernetes cannot run the job that the spec describes.
    """
    check(spec)
    policy: Object = {
        "backoffLimit": _restarts(spec),
        "cleanPodPolicy": "Running",
        "ttlSecondsAfterFinished": spec.kubernetes.keep_s,
    }
    if spec.timeout_s is not None:
        policy["activeDeadlineSeconds"] = spec.timeout_s
    tf_job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": metadata(spec, spec.name),
        "spec": {
            "runPolicy": policy,
            "tfReplicaSpecs": {
                _REPLICA_TYPES[task_type]: _replica_spec(spec, task_type, role)
                for task_type, role in spec.roles
            },
        },
    }
    return Rendering(
        documents=(*guards(spec), tf_job), left_out=(*left_out(spec), *_own_left_out(spec))
    )


def _replica_spec(spec: JobSpec, task_type: str, role: Role) -> Object:
    template = pod_template(
        spec, task_type, role, restart_policy=None, tf_config=[], port_name="tfjob-port"
    )
    # A server that ends by a signal, because its node is taken back, has not failed. A chief that
    # fails with any code resumes from its last checkpoint.
    policy = "ExitCode" if task_type in ("worker", "ps") else "OnFailure"
    return {"replicas": role.replicas, "restartPolicy": policy, "template": template}


def _restarts(spec: JobSpec) -> int:
    return max(role.restarts for _, role in spec.roles)


def _own_left_out(spec: JobSpec) -> Iterator[Fault]:
    for task_type, role in spec.roles:
        if role.restarts != _restarts(spec):
            yield Fault(
                ("roles", task_type, "restarts"),
                f"a TFJob counts the restarts of all tasks together: here at most "
                f"{_restarts(spec)}.",
            )
