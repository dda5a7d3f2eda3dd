"""Only the job's own pods may reach the pods of a rendered job."""

from __future__ import annotations

import itertools

import pytest

from tests.kubernetes import simulator
from tests.kubernetes.network_policies import may_reach
from tests.kubernetes.objects import Object
from tests.unit.jobs.specs import spec
from tfps.jobs.kubernetes import jobset, plain, tfjob
from tfps.jobs.rendering import Renderer


@pytest.mark.parametrize("render", [plain.render, jobset.render, tfjob.render])
def test_pods_reach_those_of_their_own_job_and_no_others(render: Renderer) -> None:
    own = [dict(item) for item in render(spec()).documents]
    others = [dict(item) for item in render(spec(name="other")).documents]
    policies = [item for item in (*own, *others) if item["kind"] == "NetworkPolicy"]
    pods = simulator.pods(own)
    stranger: Object = {"metadata": {"name": "stranger", "labels": {"app": "web"}}, "spec": {}}
    elsewhere = [{**pod, "metadata": {**pod["metadata"], "namespace": "elsewhere"}} for pod in pods]
    assert all(may_reach(a, b, 2222, policies) for a, b in itertools.product(pods, pods))
    for outside in (stranger, *simulator.pods(others), *elsewhere):
        assert not any(may_reach(outside, pod, 2222, policies) for pod in pods)
    assert may_reach(pods[0], stranger, 80, policies)
