"""Servers of their own (topics have fixed names), one clean state, and copies of it to spoil."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.messaging.kafka import ensure_topics
from tests.integration.verify.clean import Copies, make_clean
from tests.support.servers import addresses
from tributary.services import SERVICES

Spoil = Callable[..., Awaitable[Copies]]


@pytest.fixture(scope="session")
def verify_servers(request: pytest.FixtureRequest) -> dict[str, str]:
    owner = os.getppid() if hasattr(request.config, "workerinput") else os.getpid()
    return addresses(f"verify-{owner}", owner=owner)


@pytest.fixture(scope="session")
def clean(verify_servers: dict[str, str]) -> Copies:
    """The clean state, made once by the services' own tables, outboxes and relays."""
    return asyncio.run(make_clean(server_url=verify_servers["postgres"], bootstrap=verify_servers["kafka"]))


@pytest.fixture
async def spoil(clean: Copies, unique_name: str) -> AsyncIterator[Spoil]:
    """Return what copies the databases of some services and runs statements on them."""
    connection = await asyncpg.connect(clean.server_url)
    made: list[str] = []

    async def spoiled(**statements: str | list[str]) -> Copies:
        urls = dict(clean.urls)
        for service, given in statements.items():
            assert service in SERVICES
            name = f"{unique_name}_{service}"
            origin = urlsplit(clean.urls[service]).path.removeprefix("/")
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{origin}"')
            made.append(name)
            urls[service] = urlunsplit(urlsplit(clean.server_url)._replace(path=f"/{name}"))
            copy = await asyncpg.connect(urls[service])
            for statement in [given] if isinstance(given, str) else given:
                done = await copy.execute(statement)
                assert not done.endswith(" 0"), f"nothing was spoiled: {statement}"
            await copy.close()
        return clean.model_copy(update={"urls": urls})

    yield spoiled
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
    await ensure_topics(bootstrap_servers=clean.bootstrap_servers)
