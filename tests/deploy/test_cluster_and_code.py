"""What the manifests name exists in the code, and what the code has is deployed: services, ports, settings, groups."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from shared.events.topics import TOPICS
from tests.support.manifests import (
    OVERLAYS,
    RENDERED,
    ROOT,
    Manifest,
    container_of,
    known_variables,
    named,
    of_kind,
    pod_of,
    rendered,
)
from tributary.grants import consumed_by, user
from tributary.services import SERVICES

_ROLES = {"api": "serve", "worker": "work"}
_CONSUMERS = {service for service in SERVICES if consumed_by(service)}


def _deployments(folder: str) -> dict[tuple[str, str], Manifest]:
    """Return the Deployments by service and role."""
    found = {}
    for each in of_kind(folder, "Deployment"):
        labels = each["metadata"]["labels"]
        found[labels["app.kubernetes.io/name"], labels["app.kubernetes.io/component"]] = each
    return found


def _workloads(folder: str) -> list[Manifest]:
    return of_kind(folder, "Deployment", "Job")


def _environment(folder: str, workload: Manifest) -> dict[str, Any]:
    """Return the variables of a workload's container: texts, or references to a key of a Secret."""
    container = container_of(workload)
    found: dict[str, Any] = {}
    for source in container["envFrom"]:
        found |= named(folder, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"] for each in container["env"]}


@pytest.mark.parametrize("folder", RENDERED)
def test_every_service_and_role_is_a_deployment_and_there_is_no_other(folder: str) -> None:
    deployments = _deployments(folder)
    assert set(deployments) == {(service, role) for service in SERVICES for role in _ROLES}
    for (service, role), each in deployments.items():
        assert each["metadata"]["name"] == f"{service}-{role}"
        assert container_of(each)["args"] == [_ROLES[role], service]
        assert pod_of(each)["serviceAccountName"] == service
        labels = {"app.kubernetes.io/name": service, "app.kubernetes.io/component": role}
        assert each["spec"]["selector"]["matchLabels"] == labels
        assert each["spec"]["template"]["metadata"]["labels"].items() >= labels.items()
    assert [container_of(job)["args"] for job in of_kind(folder, "Job")] == [["migrate"]]


@pytest.mark.parametrize("folder", RENDERED)
def test_probes_ask_the_services_own_health_on_the_port_of_the_image(folder: str) -> None:
    for (service, _), each in _deployments(folder).items():
        container = container_of(each)
        assert container["ports"] == [{"name": "http", "containerPort": 8000}]
        asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        health = f"/{service}/v1/health"
        assert asked == {
            "startup": {"path": f"{health}/live", "port": "http"},
            "liveness": {"path": f"{health}/live", "port": "http"},
            "readiness": {"path": f"{health}/ready", "port": "http"},
        }


@pytest.mark.parametrize("folder", RENDERED)
def test_every_variable_is_a_setting_of_the_code(folder: str) -> None:
    for each in _workloads(folder):
        environment = _environment(folder, each)
        assert set(environment) <= known_variables(), each["metadata"]["name"]
        assert {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"} <= set(environment)


@pytest.mark.parametrize("folder", RENDERED)
def test_who_talks_to_the_broker_does_so_as_itself_and_over_tls_and_an_api_does_not(folder: str) -> None:
    identities = {("migrate", "migrate"): of_kind(folder, "Job")[0], **_deployments(folder)}
    for (service, role), each in identities.items():
        environment = _environment(folder, each)
        kafka = {name: value for name, value in environment.items() if name.startswith("KAFKA_")}
        if role == "api":
            assert set(kafka) == {"KAFKA_BOOTSTRAP_SERVERS"}
            continue
        assert kafka["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
        assert kafka["KAFKA_SASL_USERNAME"] == user(service)
        assert kafka["KAFKA_SASL_PASSWORD"] == {"name": user(service), "key": "password"}
        mounts = [mount["mountPath"] for mount in container_of(each)["volumeMounts"]]
        assert kafka["KAFKA_SSL_CA_FILE"].rpartition("/")[0] in mounts


@pytest.mark.parametrize("folder", RENDERED)
def test_each_service_has_its_own_database_secret(folder: str) -> None:
    for (service, _), each in _deployments(folder).items():
        assert _environment(folder, each)["DATABASE_URL"] == {"name": f"{service}-database", "key": "url"}
    (job,) = of_kind(folder, "Job")
    assert _environment(folder, job)["DATABASE_URL"] == {"name": "migrate-database", "key": "url"}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_broker_is_the_one_of_the_same_namespace_on_its_secured_port(folder: str) -> None:
    (kafka,) = of_kind(folder, "Kafka")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    name, namespace = kafka["metadata"]["name"], kafka["metadata"]["namespace"]
    expected = f"{name}-kafka-bootstrap.{namespace}.svc:{listener['port']}"
    for each in _workloads(folder):
        assert _environment(folder, each)["KAFKA_BOOTSTRAP_SERVERS"] == expected


def test_a_token_of_staging_opens_nothing_in_production() -> None:
    staging, production = (_environment(each, of_kind(each, "Job")[0]) for each in OVERLAYS)
    for name in ("TRIBUTARY_ISSUER", "TRIBUTARY_AUDIENCE"):
        assert staging[name] != production[name]


@pytest.mark.parametrize("folder", RENDERED)
def test_one_origin_gives_each_path_to_its_service_and_shows_no_metrics(folder: str) -> None:
    (ingress,) = of_kind(folder, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    paths = {(path["path"], path["pathType"]): path["backend"]["service"] for path in rule["http"]["paths"]}
    expected = {(f"/{service}", "Prefix"): service for service in SERVICES} | {("/", "Exact"): "console"}
    assert paths == {path: {"name": name, "port": {"name": "http"}} for path, name in expected.items()}
    assert ingress["spec"]["tls"] == [{"hosts": [rule["host"]], "secretName": "tributary-tls"}]
    for service in SERVICES:
        spec = named(folder, "Service", service)["spec"]
        assert spec["selector"] == {"app.kubernetes.io/name": service, "app.kubernetes.io/component": "api"}
        assert spec["ports"] == [{"name": "http", "port": 8000, "targetPort": "http"}]
    assert {each["metadata"]["name"] for each in of_kind(folder, "Service")} == set(SERVICES)


@pytest.mark.parametrize("folder", RENDERED)
def test_every_api_scales_by_load_and_survives_a_drained_node(folder: str) -> None:
    for service in SERVICES:
        spec = named(folder, "HorizontalPodAutoscaler", f"{service}-api")["spec"]
        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{service}-api"}
        assert spec["minReplicas"] < spec["maxReplicas"]
        # Whoever sets the number in the Deployment as well fights the autoscaler at each apply.
        assert "replicas" not in named(folder, "Deployment", f"{service}-api")["spec"]
        for role in _ROLES:
            budget = named(folder, "PodDisruptionBudget", f"{service}-{role}")["spec"]
            assert budget["maxUnavailable"] == 1
            assert budget["selector"] == named(folder, "Deployment", f"{service}-{role}")["spec"]["selector"]


@pytest.mark.parametrize("folder", RENDERED)
def test_workers_that_consume_scale_by_the_lag_of_their_group_up_to_their_partitions(folder: str) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in of_kind(folder, "ScaledObject")}
    assert set(scaled) == {f"{service}-worker" for service in _CONSUMERS}
    for service in SERVICES:
        deployment = named(folder, "Deployment", f"{service}-worker")["spec"]
        if service not in _CONSUMERS:
            assert deployment["replicas"] == 2
            continue
        spec = scaled[f"{service}-worker"]
        assert "replicas" not in deployment
        assert spec["maxReplicaCount"] <= max(TOPICS[topic] for topic in consumed_by(service))
        (trigger,) = spec["triggers"]
        assert trigger["metadata"]["consumerGroup"] == f"scf.{service}"
        assert trigger["metadata"]["bootstrapServersFromEnv"] in known_variables()
        assert named(folder, "TriggerAuthentication", trigger["authenticationRef"]["name"])


def test_the_consumer_group_is_the_one_the_inbox_joins() -> None:
    from shared.messaging.inbox import Inbox
    from shared.messaging.kafka import Kafka
    from shared.storage.database import Database

    database = Database("postgresql://nobody@127.0.0.1:1/none")
    inbox = Inbox(database, kafka=Kafka("127.0.0.1:1"), service="credit", handlers={}, topics=[])
    (trigger,) = named("base", "ScaledObject", "credit-worker")["spec"]["triggers"]
    assert inbox._group == trigger["metadata"]["consumerGroup"]


def test_production_spreads_every_service_over_three_zones() -> None:
    for (_, role), each in _deployments("overlays/production").items():
        zone, host = pod_of(each)["topologySpreadConstraints"]
        assert (zone["topologyKey"], zone["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "DoNotSchedule")
        assert host["topologyKey"] == "kubernetes.io/hostname"
        for constraint in (zone, host):
            assert constraint["labelSelector"]["matchLabels"] == each["spec"]["selector"]["matchLabels"]
        if role == "api":
            service = each["metadata"]["labels"]["app.kubernetes.io/name"]
            spec = named("overlays/production", "HorizontalPodAutoscaler", f"{service}-api")["spec"]
            assert spec["minReplicas"] >= 3


def test_an_image_of_production_has_a_version_and_the_projects_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    images = {container_of(each)["image"] for each in _workloads("overlays/production")}
    assert images == {f"registry.example/tributary:{project['version']}"}


@pytest.mark.parametrize("folder", RENDERED)
def test_a_pod_has_longer_to_end_than_its_process_takes(folder: str) -> None:
    from tributary import running

    takes_s = 1 + running._DRAIN_S + running._WORKERS_S + running._CANCELLED_S
    for (_, role), each in _deployments(folder).items():
        before_s = container_of(each).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert (before_s > 0) == (role == "api")
        assert pod_of(each)["terminationGracePeriodSeconds"] >= 2 * (takes_s + before_s)


@pytest.mark.parametrize("folder", RENDERED)
def test_no_manifest_holds_a_secret_and_every_one_it_names_is_told_to_who_deploys(folder: str) -> None:
    assert of_kind(folder, "Secret") == []
    told = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    services = "|".join(SERVICES)
    for name in set(_secrets(list(rendered(folder)))):
        general = re.sub(rf"^({services})-database$", "SERVICE-database", name)
        general = re.sub(rf"^tributary-({services})$", "tributary-SERVICE", general)
        assert f"`{general}`" in told, name


def _secrets(value: Any, *, within: str = "") -> Iterator[str]:
    """Return the names of the Secrets that objects refer to."""
    if isinstance(value, list):
        for each in value:
            yield from _secrets(each, within=within)
    elif isinstance(value, dict):
        if within in {"secretKeyRef", "passwordSecret", "secret", "secretTargetRef"} and "name" in value:
            yield value["name"]
        for key, each in value.items():
            if key == "secretName":
                yield each
            else:
                yield from _secrets(each, within=key)
