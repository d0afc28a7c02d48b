"""The cluster: how a process gets in, topics as the contract names them, what a client can tell of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.events.topics import TOPICS
from shared.runtime.settings import Settings

_LONGEST_REPLICATION = 3


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where the cluster is, and how this process gets in; a password never shows in its text."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Kafka:
        """Return the cluster that the settings name."""
        return cls(
            settings.bootstrap_servers,
            security_protocol=settings.kafka_security_protocol,
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            ca_file=settings.kafka_ca_file,
        )

    def options(self) -> dict[str, Any]:
        """Return what every aiokafka client of this cluster is made with."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options


async def ensure_topics(kafka: Kafka, *, topics: Mapping[str, int] = TOPICS) -> None:
    """Create the topics that are missing, kept for ever so that every read model can be rebuilt from them."""
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        brokers = len((await admin.describe_cluster())["brokers"])
        missing = set(topics) - set(await admin.list_topics())
        replicas = min(_LONGEST_REPLICATION, brokers)
        config = {"retention.ms": "-1", "cleanup.policy": "delete"}
        new = [NewTopic(name, topics[name], replicas, topic_configs=config) for name in sorted(missing)]
        if new:
            answer = await admin.create_topics(new)
            for name, code, *_ in answer.topic_errors:
                if code not in {0, TopicAlreadyExistsError.errno}:
                    raise for_code(code)(name)
            await _until_led(admin, sorted(missing))
    finally:
        await admin.close()


async def cluster_id(kafka: Kafka) -> str:
    """Return the id of the cluster."""
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def _until_led(admin: AIOKafkaAdminClient, topics: list[str], *, attempts: int = 100) -> None:
    """Wait until every partition has a leader, so that the first send meets no NotLeaderForPartition."""
    for _ in range(attempts):
        try:
            described = await admin.describe_topics(topics)
        except KafkaError:
            described = []
        partitions = [part for topic in described for part in topic["partitions"]]
        if len(described) == len(topics) and all(part["leader"] >= 0 for part in partitions):
            return
        await asyncio.sleep(0.05)
