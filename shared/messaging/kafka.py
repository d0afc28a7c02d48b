"""The broker's side: topics as the contract names them, and what a consumer can tell of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.events.topics import TOPICS

_LONGEST_REPLICATION = 3


async def ensure_topics(*, bootstrap_servers: str, topics: Mapping[str, int] = TOPICS) -> None:
    """Create the topics that are missing, kept for ever so that every read model can be rebuilt from them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
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


async def cluster_id(*, bootstrap_servers: str) -> str:
    """Return the id of the cluster behind the addresses."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
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
