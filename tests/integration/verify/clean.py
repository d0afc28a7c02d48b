"""A small clean state: real tables, real outboxes, real relays, real topics."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import Field

from shared.events.onboarding import EnterpriseRegistered, EnterpriseSuspended
from shared.messaging.ddl import MESSAGING_1
from shared.messaging.kafka import ensure_topics
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.runtime.settings import Settings
from shared.storage.approvals import APPROVALS_1
from shared.storage.audit import AUDIT_1, Entry, record, seal
from shared.storage.database import Database, migrate
from shared.storage.idempotency import IDEMPOTENCY_1
from tests.support.messaging import running, until
from tributary.services import SERVICES


class Copies(Settings):
    """Settings whose databases are copies under names of their own."""

    urls: dict[str, str] = Field(default_factory=dict)

    def database(self, service: str) -> str:
        return self.urls[service]


async def make_clean(*, server_url: str, bootstrap: str) -> Copies:
    """Make the clean state of all services, and wait until every event is on its topic."""
    await ensure_topics(bootstrap_servers=bootstrap)
    connection = await asyncpg.connect(server_url)
    urls = {}
    for service in SERVICES:
        await connection.execute(f'CREATE DATABASE "clean_{service}"')
        urls[service] = urlunsplit(urlsplit(server_url)._replace(path=f"/clean_{service}"))
        await migrate(url=urls[service], package=f"services.{service}")
        await _until_it_lands(urls[service])
    await connection.close()
    settings = Copies.model_construct(server_url=server_url, bootstrap_servers=bootstrap, urls=urls)
    databases = {service: Database(url, pool_size=4) for service, url in urls.items()}
    await _firms(databases["onboarding"])
    await _relay(databases, bootstrap)
    for database in databases.values():
        await seal(database, owner="clean")
        await database.close()
    return settings


async def _until_it_lands(url: str) -> None:
    database = Database(url)
    async with database.transaction() as tx:
        if await tx.pg.fetchval("SELECT to_regclass('outbox')") is None:
            for statement in (*MESSAGING_1, *IDEMPOTENCY_1, *AUDIT_1, *APPROVALS_1):
                await tx.pg.execute(statement)
    await database.close()


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


async def _relay(databases: dict[str, Database], bootstrap: str) -> None:
    relays = [Relay(databases[name], bootstrap_servers=bootstrap, service=name) for name in SERVICES[:-1]]

    async def all_sent() -> bool:
        for database in databases.values():
            async with database.reader() as tx:
                if await tx.pg.fetchval("SELECT count(*) FROM outbox_pending"):
                    return False
        return True

    async with running(*(relay.run for relay in relays)):
        await until(all_sent)
