"""Pods run as the restricted standard wants it, and talk to what they need alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.manifests import OVERLAYS, RENDERED, container_of, named, of_kind, pod_of

_COMPONENT = "app.kubernetes.io/component"
_POSTGRES = ("tributary-postgres", 5432)
_KAFKA = ("tributary", 9093)


@pytest.mark.parametrize("folder", RENDERED)
def test_the_namespace_enforces_the_restricted_standard_and_every_pod_keeps_it(folder: str) -> None:
    (namespace,) = of_kind(folder, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in of_kind(folder, "Deployment", "Job"):
        pod, container = pod_of(each), container_of(each)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        # Else a Service called `tributary` would set TRIBUTARY_PORT to its address.
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_engines_pods_keep_the_standard_too(folder: str) -> None:
    (kafka,) = of_kind(folder, "Kafka")
    broker, operator = kafka["spec"]["kafka"]["template"], kafka["spec"]["entityOperator"]["template"]
    for template in (broker, operator):
        assert template["pod"]["securityContext"]["runAsNonRoot"] is True
        for name, part in template.items():
            if name.endswith("Container"):
                assert part["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                }


@pytest.mark.parametrize("folder", RENDERED)
def test_nothing_goes_in_or_out_but_what_is_allowed(folder: str) -> None:
    spec = named(folder, "NetworkPolicy", "default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("folder", RENDERED)
def test_a_process_reaches_names_its_database_and_the_broker_and_nothing_else(folder: str) -> None:
    for component in ("api", "worker", "migrate"):
        reached = set()
        for rule in _rules(folder, component, "egress"):
            (peer,) = rule["to"]
            (target,) = peer["podSelector"]["matchLabels"].values()
            reached |= {(target, port["port"]) for port in rule["ports"]}
        assert reached == {("kube-dns", 53), _POSTGRES, _KAFKA}, component


@pytest.mark.parametrize("folder", RENDERED)
def test_an_api_is_called_by_the_ingress_every_process_by_prometheus_and_nobody_else(folder: str) -> None:
    callers = {}
    for component in ("api", "worker", "migrate"):
        callers[component] = {
            (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
            for rule in _rules(folder, component, "ingress")
            for peer in rule["from"]
            for port in rule["ports"]
        }
    assert callers == {
        "api": {("ingress", 8000), ("monitoring", 8000)},
        "worker": {("monitoring", 8000)},
        "migrate": set(),
    }


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_engines_let_in_what_our_policies_let_out(folder: str) -> None:
    (kafka,) = of_kind(folder, "Kafka")
    (cluster,) = of_kind(folder, "Cluster")
    assert (cluster["metadata"]["name"], 5432) == _POSTGRES
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    assert (kafka["metadata"]["name"], listener["port"]) == _KAFKA
    ours = {"podSelector": {"matchExpressions": [_in("api", "worker", "migrate")]}}
    assert listener["networkPolicyPeers"][0] == ours
    first = named(folder, "NetworkPolicy", "postgres")["spec"]["ingress"][0]
    assert first == {"from": [ours], "ports": [{"port": 5432, "protocol": "TCP"}]}


def _in(*components: str) -> dict[str, Any]:
    return {"key": _COMPONENT, "operator": "In", "values": list(components)}


def _rules(folder: str, component: str, direction: str) -> list[dict[str, Any]]:
    """Return the rules of every policy that selects the pods of a component."""
    found: list[dict[str, Any]] = []
    for policy in of_kind(folder, "NetworkPolicy"):
        if _selects(policy["spec"]["podSelector"], component):
            found += policy["spec"].get(direction, [])
    return found


def _selects(selector: dict[str, Any], component: str) -> bool:
    labels = selector.get("matchLabels", {})
    values = [each["values"] for each in selector.get("matchExpressions", [])]
    return labels in ({}, {_COMPONENT: component}) and all(component in each for each in values)
