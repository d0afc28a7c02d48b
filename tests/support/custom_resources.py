"""What Strimzi, CloudNativePG and KEDA accept, as far as our manifests use it: every other field is refused.

No package carries these operators' own definitions, so these models were written by hand after them. Whoever has the
definitions (a cluster's `kubectl get crd -o yaml`, a release's files) names their folder in TRIBUTARY_CRDS, and the
manifests are held against them as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(m|Ki|Mi|Gi|Ti)?$")]
Replicas = Annotated[int, Field(ge=1)]
Labels = dict[str, str]


class Strict(BaseModel):
    """Nothing but what is named here, each of its very type."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Strict):
    name: str
    namespace: str
    labels: Labels


class OfCluster(Metadata):
    labels: Annotated[Labels, Field(min_length=1)]


class Resource(Strict):
    api_version: str
    kind: str
    metadata: Metadata


class Resources(Strict):
    requests: dict[Literal["cpu", "memory"], Quantity]
    limits: dict[Literal["cpu", "memory"], Quantity]


class SecurityContext(Strict):
    run_as_non_root: Literal[True] | None = None
    allow_privilege_escalation: Literal[False] | None = None
    capabilities: dict[Literal["drop"], list[Literal["ALL"]]] | None = None
    seccomp_profile: dict[Literal["type"], Literal["RuntimeDefault"]] | None = None


class Selector(Strict):
    match_labels: Labels | None = None
    match_expressions: list[dict[str, Any]] | None = None


class Spread(Strict):
    max_skew: Replicas
    topology_key: str
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: Selector


class PodTemplate(Strict):
    security_context: SecurityContext | None = None
    topology_spread_constraints: list[Spread] | None = None


class ContainerTemplate(Strict):
    security_context: SecurityContext


# --- Strimzi: kafka.strimzi.io/v1


class Peer(Strict):
    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None


class Scram(Strict):
    type: Literal["scram-sha-512"]


class Listener(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9]{1,11}$")]
    port: Annotated[int, Field(ge=9092)]
    type: Literal["internal", "route", "loadbalancer", "nodeport", "ingress", "cluster-ip"]
    tls: bool
    authentication: Scram
    network_policy_peers: list[Peer]


class KafkaTemplate(Strict):
    pod: PodTemplate
    kafka_container: ContainerTemplate
    init_container: ContainerTemplate
    pod_disruption_budget: dict[Literal["maxUnavailable"], int]


class KafkaSpec(Strict):
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    listeners: Annotated[list[Listener], Field(min_length=1)]
    authorization: dict[Literal["type"], Literal["simple", "custom"]]
    config: dict[str, bool | int | str]
    rack: dict[Literal["topologyKey"], str]
    template: KafkaTemplate


class OperatorTemplate(Strict):
    pod: PodTemplate
    topic_operator_container: ContainerTemplate
    user_operator_container: ContainerTemplate


class EntityOperator(Strict):
    topic_operator: dict[str, Any]
    user_operator: dict[str, Any]
    template: OperatorTemplate


class KafkaClusterSpec(Strict):
    kafka: KafkaSpec
    entity_operator: EntityOperator


class Kafka(Resource):
    api_version: Literal["kafka.strimzi.io/v1"]
    spec: KafkaClusterSpec


class Volume(Strict):
    id: Annotated[int, Field(ge=0)]
    type: Literal["persistent-claim", "ephemeral"]
    size: Quantity
    kraft_metadata: Literal["shared"]
    delete_claim: bool


class Storage(Strict):
    type: Literal["jbod"]
    volumes: list[Volume]


class NodePoolSpec(Strict):
    replicas: Replicas
    roles: list[Literal["controller", "broker"]]
    storage: Storage
    resources: Resources
    jvm_options: dict[Literal["-Xms", "-Xmx"], Annotated[str, Field(pattern=r"^[0-9]+[mMgG]?$")]]
    template: dict[Literal["pod"], PodTemplate]


class KafkaNodePool(Resource):
    api_version: Literal["kafka.strimzi.io/v1"]
    metadata: OfCluster
    spec: NodePoolSpec


class TopicSpec(Strict):
    partitions: Replicas
    replicas: Annotated[int, Field(ge=1, le=32767)]
    config: dict[str, int | str]


class KafkaTopic(Resource):
    api_version: Literal["kafka.strimzi.io/v1"]
    metadata: OfCluster
    spec: TopicSpec


class AclResource(Strict):
    type: Literal["topic", "group", "cluster", "transactionalId"]
    name: str
    pattern_type: Literal["literal", "prefix"]


class Acl(Strict):
    resource: AclResource
    operations: list[
        Literal[
            "Read", "Write", "Create", "Delete", "Alter", "Describe", "ClusterAction", "AlterConfigs",
            "DescribeConfigs", "IdempotentWrite", "All",
        ]
    ]  # fmt: skip


class Authorization(Strict):
    type: Literal["simple"]
    acls: list[Acl]


class UserSpec(Strict):
    authentication: Scram
    authorization: Authorization


class KafkaUser(Resource):
    api_version: Literal["kafka.strimzi.io/v1"]
    metadata: OfCluster
    spec: UserSpec


# --- CloudNativePG: postgresql.cnpg.io/v1


class Named(Strict):
    name: str


class InitDb(Strict):
    database: str
    owner: str
    secret: Named
    data_checksums: bool


class Synchronous(Strict):
    method: Literal["any", "first"]
    number: Replicas
    data_durability: Literal["required", "preferred"]
    failover_quorum: bool


class Configuration(Strict):
    pg_hba: list[str] = Field(alias="pg_hba")
    synchronous: Synchronous
    parameters: dict[str, str]


class Role(Strict):
    name: str
    login: bool
    password_secret: Named
    in_roles: list[str]


class Size(Strict):
    size: Quantity


class Affinity(Strict):
    enable_pod_anti_affinity: bool
    pod_anti_affinity_type: Literal["required", "preferred"]
    topology_key: str


class Plugin(Strict):
    name: str
    is_wal_archiver: bool = Field(alias="isWALArchiver")
    parameters: dict[str, str]


class ClusterSpec(Strict):
    instances: Replicas
    image_name: str
    primary_update_strategy: Literal["unsupervised", "supervised"]
    primary_update_method: Literal["switchover", "restart"]
    enable_superuser_access: bool
    bootstrap: dict[Literal["initdb"], InitDb]
    postgresql: Configuration
    managed: dict[Literal["roles"], list[Role]]
    storage: Size
    wal_storage: Size
    resources: Resources
    affinity: Affinity
    plugins: list[Plugin]


class Cluster(Resource):
    api_version: Literal["postgresql.cnpg.io/v1"]
    spec: ClusterSpec


class DatabaseSpec(Strict):
    name: str
    owner: str
    database_reclaim_policy: Literal["delete", "retain"]
    cluster: Named


class Database(Resource):
    api_version: Literal["postgresql.cnpg.io/v1"]
    spec: DatabaseSpec


class ScheduledBackupSpec(Strict):
    schedule: Annotated[str, Field(pattern=r"^\S+( \S+){5}$")]
    immediate: bool
    backup_owner_reference: Literal["none", "self", "cluster"]
    method: Literal["barmanObjectStore", "volumeSnapshot", "plugin"]
    plugin_configuration: Named
    cluster: Named


class ScheduledBackup(Resource):
    api_version: Literal["postgresql.cnpg.io/v1"]
    spec: ScheduledBackupSpec


# --- KEDA: keda.sh/v1alpha1


class KafkaTrigger(Strict):
    """The Kafka trigger's metadata: texts, all of them."""

    bootstrap_servers_from_env: str
    consumer_group: str
    lag_threshold: Annotated[str, Field(pattern=r"^[1-9]\d*$")]
    offset_reset_policy: Literal["latest", "earliest"]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    tls: Literal["enable", "disable"]
    sasl: Literal["none", "plaintext", "scram_sha256", "scram_sha512", "oauthbearer", "gssapi"]


class Trigger(Strict):
    type: Literal["kafka"]
    metadata: KafkaTrigger
    authentication_ref: Named


class Fallback(Strict):
    failure_threshold: Replicas
    replicas: Replicas
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]


class ScaledObjectSpec(Strict):
    scale_target_ref: Named
    min_replica_count: Replicas
    max_replica_count: Replicas
    polling_interval: Replicas
    cooldown_period: Replicas
    fallback: Fallback
    triggers: list[Trigger]


class ScaledObject(Resource):
    api_version: Literal["keda.sh/v1alpha1"]
    spec: ScaledObjectSpec


class Reference(Strict):
    parameter: Literal["username", "password", "ca"]
    name: str
    key: str


class TriggerAuthenticationSpec(Strict):
    config_map_target_ref: list[Reference]
    secret_target_ref: list[Reference]


class TriggerAuthentication(Resource):
    api_version: Literal["keda.sh/v1alpha1"]
    spec: TriggerAuthenticationSpec


CUSTOM_RESOURCES: dict[str, type[Resource]] = {
    each.__name__: each
    for each in (
        Kafka, KafkaNodePool, KafkaTopic, KafkaUser,
        Cluster, Database, ScheduledBackup,
        ScaledObject, TriggerAuthentication,
    )
}  # fmt: skip


def definitions(folder: Path) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Return the JSON schemas of the custom resource definitions in a folder, by apiVersion and kind, closed."""
    for path in sorted(folder.glob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if each and each["kind"] == "CustomResourceDefinition":
                for version in each["spec"]["versions"]:
                    schema = _closed(version["schema"]["openAPIV3Schema"])
                    # The API server's own: it checks them for every kind.
                    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                    name = f"{each['spec']['group']}/{version['name']}"
                    yield (name, each["spec"]["names"]["kind"]), schema


def _closed(schema: Any) -> Any:
    """Return a schema that refuses what the API server would drop without a word."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    open_ended = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & set(closed)
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object" and not open_ended:
        closed["additionalProperties"] = False
    return closed
