"""Servers of their own (topics have fixed names), one clean state, and copies of it to spoil."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.messaging.kafka import Kafka, ensure_topics
from tests.integration.verify.clean import Copies, make_clean
from tests.integration.verify.spoiling import Spoiled, copied
from tests.support.servers import addresses

Copy = Callable[..., Awaitable[Copies]]


@pytest.fixture(scope="session")
def verify_servers(request: pytest.FixtureRequest) -> dict[str, str]:
    owner = os.getppid() if hasattr(request.config, "workerinput") else os.getpid()
    worker = getattr(request.config, "workerinput", {}).get("workerid", "alone")
    return addresses(f"verify-{worker}-{owner}", owner=owner)


@pytest.fixture(scope="session")
def clean(verify_servers: dict[str, str]) -> Copies:
    """The clean state, made once by the services' own tables, outboxes and relays."""
    return asyncio.run(make_clean(server_url=verify_servers["postgres"], bootstrap=verify_servers["kafka"]))


@pytest.fixture
async def copy(clean: Copies, unique_name: str) -> AsyncIterator[Copy]:
    """Return what copies the databases of some services and runs statements on the copies."""
    connection = await asyncpg.connect(clean.server_url)
    made: list[str] = []

    async def copy_and_spoil(**statements: Spoiled) -> Copies:
        return await copied(connection, clean, name=unique_name, made=made, statements=statements)

    yield copy_and_spoil
    for name in made:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


@pytest.fixture
async def spoilt_topic(clean: Copies) -> AsyncIterator[str]:
    """Return a topic to put records on that no relay sent; it is made anew afterwards."""
    topic = "scf.risk.decision.v1"
    yield topic
    admin = AIOKafkaAdminClient(bootstrap_servers=clean.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([topic])
    while topic in await admin.list_topics():
        await asyncio.sleep(0.05)
    await admin.close()
    await ensure_topics(Kafka(clean.bootstrap_servers))
