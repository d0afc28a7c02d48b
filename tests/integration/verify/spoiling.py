"""Spoil the clean state: in transactions that are rolled back (quick), or in copies of whole databases."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka import AIOKafkaProducer

from shared.events.topics import partition_of
from shared.storage.database import Database, Transaction
from tests.integration.verify.clean import Copies
from tributary.verify.result import Result
from tributary.verify.snapshots import world_of

Spoiled = str | Sequence[str]


class _RollBackError(Exception):
    """Ends a spoiled transaction."""


@dataclass
class _Spoiled:
    """A database whose readers see the spoiled transaction."""

    tx: Transaction

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Transaction]:
        yield self.tx


def loan_gone(name: str, *, paid_out: bool) -> list[str]:
    """Return the statements that lose a loan."""
    tables = (*(("loan_balance",) if paid_out else ()), "instalment", "loan")
    return [f"DELETE FROM {table} WHERE loan_id = '{name}'" for table in tables]  # noqa: S608 - the test's own names


async def found(module: ModuleType, clean: Copies, **statements: Spoiled) -> Result:
    """Return what a check finds once the statements have run on these services' databases, and undo them."""
    async with world_of(clean) as world, AsyncExitStack() as stack:
        spoiled: dict[str, Transaction] = {}
        for service, given in statements.items():
            tx = await stack.enter_async_context(_undone(world.databases[service]))
            await _run(tx.pg, given)
            spoiled[service] = tx
        databases: dict[str, Any] = {service: _Spoiled(tx) for service, tx in spoiled.items()}
        result: Result = await module.check(
            replace(
                world,
                state={**world.state, **spoiled},
                outboxes={**world.outboxes, **spoiled},
                databases={**world.databases, **databases},
            )
        )
    return result


async def put(clean: Copies, *, topic: str, subject: str, event_id: str, sequence: int, age_s: int = 0) -> None:
    """Put a record on a topic that no relay sent."""
    headers = {"ce_id": event_id, "ce_type": "x.y.v1", "ce_subject": subject, "ce_sequence": str(sequence)}
    async with AIOKafkaProducer(bootstrap_servers=clean.bootstrap_servers) as producer:
        await producer.send_and_wait(
            topic,
            b"{}",
            key=subject.encode(),
            partition=partition_of(topic=topic, subject=subject),
            headers=[(name, value.encode()) for name, value in headers.items()],
            timestamp_ms=int((time.time() - age_s) * 1000),
        )


async def copied(
    connection: Any, clean: Copies, *, name: str, made: list[str], statements: Mapping[str, Spoiled]
) -> Copies:
    """Copy the databases of some services, run the statements on them, and return where everything is now."""
    urls = dict(clean.urls)
    for service, given in statements.items():
        copy, origin = f"{name}_{service}", urlsplit(clean.urls[service]).path.removeprefix("/")
        await connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{origin}"')
        made.append(copy)
        urls[service] = urlunsplit(urlsplit(clean.server_url)._replace(path=f"/{copy}"))
        there = await asyncpg.connect(urls[service])
        await _run(there, given)
        await there.close()
    return clean.model_copy(update={"urls": urls})


@asynccontextmanager
async def _undone(database: Database) -> AsyncIterator[Transaction]:
    with suppress(_RollBackError):
        async with database.transaction() as tx:
            yield tx
            raise _RollBackError


async def _run(pg: Any, statements: Spoiled) -> None:
    for statement in [statements] if isinstance(statements, str) else statements:
        done = await pg.execute(statement)
        assert not done.endswith(" 0"), f"nothing was spoiled: {statement}"
