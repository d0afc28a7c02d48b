"""A small clean state: the services' own tables and outboxes, real relays, real topics, console's own inbox."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import Field

from services.console.consumers import HANDLERS
from shared.events.onboarding import EnterpriseRegistered, EnterpriseSuspended
from shared.events.topics import TOPICS
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.outbox import append
from shared.messaging.pipeline import seal_all
from shared.messaging.relay import Relay
from shared.runtime.settings import Settings
from shared.storage.audit import Entry, record
from shared.storage.database import Database, migrate
from tests.integration.verify.drawn_rows import draw
from tests.support.messaging import running, until
from tributary.services import SERVICES


class Copies(Settings):
    """Settings whose databases are copies under names of their own."""

    urls: dict[str, str] = Field(default_factory=dict)

    def database(self, service: str) -> str:
        return self.urls[service]


async def make_clean(*, server_url: str, bootstrap: str) -> Copies:
    """Make the clean state of all services, and wait until every event is on its topic and in console."""
    await ensure_topics(Kafka(bootstrap))
    connection = await asyncpg.connect(server_url)
    urls = {}
    for service in SERVICES:
        await connection.execute(f'CREATE DATABASE "clean_{service}"')
        urls[service] = urlunsplit(urlsplit(server_url)._replace(path=f"/clean_{service}"))
        await migrate(url=urls[service], package=f"services.{service}")
    await connection.close()
    settings = Copies.model_construct(server_url=server_url, bootstrap_servers=bootstrap, urls=urls)
    databases = {service: Database(url, pool_size=4) for service, url in urls.items()}
    await _firms(databases["onboarding"])
    await draw(databases)
    for service, database in databases.items():
        await seal_all(database, service=service, owner="clean")
    await _publish(databases, bootstrap)
    for database in databases.values():
        await database.close()
    return settings


async def _firms(database: Database) -> None:
    for name in ("anchor", "alpha", "beta"):
        async with database.transaction() as tx:
            events = [
                EnterpriseRegistered(
                    enterprise_id=name,
                    name=name,
                    country="CN",
                    legal_identifiers={},
                    group_head_id=name,
                    size_class="small",
                    industry="C",
                    account=f"ACC-{name}",
                ),
                EnterpriseSuspended(enterprise_id=name, reason="a look"),
            ]
            await append(tx, events, source="onboarding")
            await record(tx, [Entry("maker", "register", name, {"name": name})])


async def _publish(databases: dict[str, Database], bootstrap: str) -> None:
    relays = [Relay(databases[name], kafka=Kafka(bootstrap), service=name) for name in SERVICES]
    inbox = Inbox(
        databases["console"], kafka=Kafka(bootstrap), service="console", handlers=HANDLERS, topics=list(TOPICS)
    )

    async def read(service: str, statement: str) -> int:
        async with databases[service].reader() as tx:
            found: int = await tx.pg.fetchval(statement)
        return found

    said = sum([await read(service, "SELECT count(*) FROM outbox") for service in SERVICES])

    async def all_came() -> bool:
        waiting = sum([await read(service, "SELECT count(*) FROM outbox_pending") for service in SERVICES])
        return waiting == 0 and await read("console", "SELECT sum(consumed)::bigint FROM inbox_stats") == said

    async with running(*(relay.run for relay in relays), inbox.run):
        await until(all_came)
