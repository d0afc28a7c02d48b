"""`tributary kafka up`: the embedded broker alone, for a developer."""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from shared.messaging.kafka import Kafka, ensure_topics
from shared.runtime.settings import Settings
from tributary.embedded.servers import EmbeddedServers


class BrokerEnded(RuntimeError):
    """A broker ended by itself."""

    code: ClassVar[str] = "broker_ended"


async def kafka_up(settings: Settings, *, nodes: int) -> int:
    """Run a cluster on the data folder until cancelled, with the platform's topics."""
    async with EmbeddedServers(settings.home, nodes=nodes, with_postgres=False) as servers:
        await ensure_topics(Kafka(servers.bootstrap_servers))
        sys.stdout.write(f"KAFKA_BOOTSTRAP_SERVERS={servers.bootstrap_servers}\n")
        sys.stdout.flush()
        while servers.ended() is None:  # noqa: ASYNC110 - a process announces its end by no event of the loop
            await asyncio.sleep(0.5)
        message = f"Kafka ended by itself; its logs are under {servers.kafka.folder}."
        raise BrokerEnded(message)
