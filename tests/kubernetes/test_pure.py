"""The pure functions of the simulated cluster: names, variables, patches, rules."""

from __future__ import annotations

import json

import pytest

from tests.kubernetes import admission, dns, nodes, patches, rbac, schemas, simulator
from tests.kubernetes.environment import command, environment
from tests.kubernetes.expansion import expand
from tests.kubernetes.kinds import BUILT_IN, CUSTOM, JOB, SERVICE, STATEFUL_SET, kind_of
from tests.kubernetes.manifests import job, job_set, service, stateful_set, tf_job
from tests.kubernetes.nodes import Node
from tests.kubernetes.objects import Object


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A) $$$(A)", "$(A) $1"),
        ("$A $ $( $(A", "$A $ $( $(A"),
        ("$", "$"),
        ("$$", "$"),
    ],
)
def test_variables_are_expanded_as_the_kubelet_does(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_an_entry_sees_the_entries_before_it_and_fields_of_the_pod() -> None:
    created = stateful_set("echo $(INDEX)")
    field = {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}
    created["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "EARLY", "value": "$(INDEX)"},
        {"name": "INDEX", "valueFrom": field},
        {"name": "TASK", "value": "worker $(INDEX)"},
    ]
    pod = simulator.pods([created])[1]
    container = pod["spec"]["containers"][0]
    variables = environment(pod, container)
    assert variables == {"EARLY": "$(INDEX)", "INDEX": "1", "TASK": "worker 1"}
    assert command(container, variables) == ["sh", "-c", "echo 1"]


def test_a_pod_has_a_name_where_a_headless_service_selects_it_under_its_subdomain() -> None:
    documents = [stateful_set(), service()]
    assert simulator.peers(documents, "set-1.set") == ["set-1"]
    assert simulator.peers(documents, "set-1.set.default.svc") == ["set-1"]
    assert simulator.peers(documents, "set-1.set.default.svc.cluster.local.") == ["set-1"]
    assert simulator.peers(documents, "set") == ["set-0", "set-1"]


@pytest.mark.parametrize(
    "documents",
    [
        [stateful_set()],
        [stateful_set(), service("other")],
        [stateful_set(), service(selector={"app": "another"})],
        [stateful_set(), service(clusterIP="10.0.0.1")],
        [stateful_set(serviceName="else"), service()],
    ],
    ids=["no service", "other name", "selects others", "not headless", "other subdomain"],
)
def test_a_pod_has_no_name_otherwise(documents: list[Object]) -> None:
    assert simulator.peers(documents, "set-1.set") == ()


def test_a_name_is_looked_up_in_the_namespace_of_who_asks() -> None:
    documents = [stateful_set(), service()]
    assert simulator.peers(documents, "set-1.set", namespace="elsewhere") == ()
    assert simulator.peers(documents, "set-1.set.default", namespace="elsewhere") == ["set-1"]


def test_who_is_not_ready_has_a_name_only_where_it_is_published() -> None:
    assert not simulator.names([stateful_set(), service()], ready=False)
    published = [stateful_set(), service(publishNotReadyAddresses=True)]
    assert simulator.names(published, ready=False) == simulator.names(published)


def test_pods_of_a_job_set_have_names_in_its_domain() -> None:
    created = job_set("exit 0", network={"subdomain": "net"})
    assert [dns.host_of(pod) for pod in simulator.pods([created])] == [
        "js-chief-0-0",
        "js-worker-0-0",
        "js-worker-0-1",
    ]
    (result,) = simulator.peers([created], "js-worker-0-1.net")
    assert result.startswith("js-worker-0-1-")


def test_the_operator_gives_each_pod_of_a_tf_job_its_tf_config() -> None:
    configs = simulator.tf_configs([tf_job("exit 0")])
    assert json.loads(configs["tj-worker-1"]) == {
        "cluster": {
            "chief": ["tj-chief-0.default.svc:2222"],
            "ps": ["tj-ps-0.default.svc:2222"],
            "worker": ["tj-worker-0.default.svc:2222", "tj-worker-1.default.svc:2222"],
        },
        "task": {"type": "worker", "index": 1},
        "environment": "cloud",
    }
    assert simulator.peers([tf_job("exit 0")], "tj-ps-0.default.svc") == ["tj-ps-0"]


@pytest.mark.parametrize(
    "document", [stateful_set(), job("exit"), service(), job_set(""), tf_job("")]
)
def test_good_objects_have_no_faults(document: Object) -> None:
    kind = kind_of(document, (*BUILT_IN, *CUSTOM))
    assert kind is not None
    if not schemas.is_at_hand(kind):
        pytest.skip(schemas.needed(kind))
    assert schemas.faults(kind, document) == []


def test_unknown_fields_and_wrong_types_are_faults_with_their_path() -> None:
    created = stateful_set(replica=2)
    created["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": "2222"}]
    assert sorted(schemas.faults(STATEFUL_SET, created)) == [
        "spec.template.spec.containers[0].ports[0].containerPort: '2222' is not of type 'integer'",
        'spec: unknown field "replica"',
    ]
    js = job_set("")
    js["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["hostnam"] = "a"
    kind = kind_of(js, CUSTOM)
    assert kind is not None
    if schemas.is_at_hand(kind):
        where = "spec.replicatedJobs[0].template.spec.template.spec"
        assert schemas.faults(kind, js) == [f'{where}: unknown field "hostnam"']


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (stateful_set(selector={"matchLabels": {"app": "no"}}), "`selector` does not match"),
        (job("", restart_policy="Always"), 'restartPolicy: Unsupported value: "Always"'),
        (job("", completionMode="Indexed"), "completions: Required value"),
        (job("", backoffLimitPerIndex=1), "requires indexed completion mode"),
        (job("", restart_policy="OnFailure", podFailurePolicy={"rules": []}), "restartPolicy"),
        (job("", name="Job"), "RFC 1123"),
        (service("1-service"), "DNS-1035"),
    ],
)
def test_what_a_server_would_refuse_is_a_fault(document: Object, fault: str) -> None:
    kind = kind_of(document, BUILT_IN)
    assert kind is not None
    assert any(fault in result for result in admission.faults(kind, document))


def test_fields_that_cannot_change_are_told() -> None:
    old, new = stateful_set(), stateful_set(replicas=0, serviceName="other")
    assert admission.update_faults(STATEFUL_SET, old, stateful_set(replicas=0)) == []
    assert "are forbidden" in admission.update_faults(STATEFUL_SET, old, new)[0]
    assert admission.update_faults(JOB, job("a"), job("b")) == [
        "spec.template: Invalid value: field is immutable"
    ]
    assert admission.update_faults(SERVICE, service(), service(ports=[])) == []


def test_applying_sets_what_a_manager_wants_and_removes_what_it_wants_no_more() -> None:
    first = {"spec": {"a": 1, "list": [{"name": "x", "v": 1}, {"name": "y"}]}}
    created, managers, conflicts = patches.applied(None, first, "one", {}, force=False)
    assert (created, conflicts) == (first, [])
    other = {"spec": {"b": 2}}
    created, managers, _ = patches.applied(created, other, "two", managers, force=False)
    assert created["spec"]["a"] == 1
    assert created["spec"]["b"] == 2
    again = {"spec": {"list": [{"name": "x", "v": 2}]}}
    created, managers, _ = patches.applied(created, again, "one", managers, force=False)
    assert created == {"spec": {"b": 2, "list": [{"name": "x", "v": 2}]}}
    _, _, conflicts = patches.applied(created, {"spec": {"b": 3}}, "one", managers, force=False)
    assert conflicts == ['conflict with "two": .spec.b']
    created, _, _ = patches.applied(created, {"spec": {"b": 3}}, "one", managers, force=True)
    assert created["spec"]["b"] == 3


def test_merge_patches() -> None:
    old = {"a": {"b": 1, "c": 2}, "d": [{"name": "x", "v": 1}, {"name": "y"}]}
    assert patches.merged(old, {"a": {"b": None}, "d": []}) == {"a": {"c": 2}, "d": []}
    patch = {"d": [{"name": "x", "v": 2}], "$setElementOrder/d": []}
    strategic = patches.merged(old, patch, strategic=True)
    assert strategic["d"] == [{"name": "x", "v": 2}, {"name": "y"}]


def test_a_pod_goes_where_labels_and_taints_let_it() -> None:
    spot = Node(
        name="spot",
        labels={"spot": "true"},
        taints=({"key": "spot", "value": "true", "effect": "NoSchedule"},),
    )
    plain = Node(name="plain")
    pod: Object = {"metadata": {"name": "p"}, "spec": {"nodeSelector": {"spot": "true"}}}
    assert nodes.fitting(pod, [plain, spot]) is None
    assert nodes.refusal(pod, [plain, spot]) == (
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {spot: true}."
    )
    pod["spec"]["tolerations"] = [{"key": "spot", "operator": "Exists"}]
    assert nodes.fitting(pod, [plain, spot]) is spot


def test_rights_are_those_of_the_roles_that_are_bound() -> None:
    rule = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"], "resourceNames": ["a"]}
    role = {"metadata": {"name": "r", "namespace": "ns"}, "rules": [rule]}
    binding = {
        "metadata": {"name": "b", "namespace": "ns"},
        "roleRef": {"name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s"}],
    }

    def may(**asked: str) -> bool:
        wanted = {"verb": "get", "group": "batch", "resource": "jobs", "namespace": "ns"}
        attributes = rbac.Attributes(**{**wanted, "name": "a", **asked})
        return rbac.may("system:serviceaccount:ns:s", attributes, [role], [binding])

    assert may()
    assert not may(name="b")
    assert not may(verb="delete")
    assert not may(namespace="other")
    assert not may(resource="jobs/status")
