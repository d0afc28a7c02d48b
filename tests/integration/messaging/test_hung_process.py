"""A process that hangs inside a transaction does not hold its locks against all the others."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from shared.storage import database as database_room
from shared.storage.database import Database
from shared.web.problems import problem_of


async def test_r19_whoever_hangs_inside_a_transaction_loses_it_and_its_locks(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_room, "_IDLE_S", 0.3)
    hanging, working = Database(empty_database, pool_size=1), Database(empty_database, pool_size=1)
    async with working.transaction() as tx:
        await tx.pg.execute("CREATE TABLE node (held int NOT NULL)")
        await tx.pg.execute("INSERT INTO node VALUES (0)")
    locked, awake = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        async with hanging.transaction() as tx:
            await tx.pg.execute("UPDATE node SET held = held + 100")
            locked.set()
            await awake.wait()

    hung = asyncio.create_task(hang())
    await locked.wait()
    async with asyncio.timeout(40), working.transaction() as tx:
        await tx.pg.execute("UPDATE node SET held = held + 1")
    awake.set()
    # It is told as any database that went away: asked again, it works.
    with pytest.raises(asyncpg.PostgresConnectionError):
        await hung
    # What it had done is gone, and so is its connection: the next one is a new one.
    async with hanging.transaction() as tx:
        assert await tx.pg.fetchval("SELECT held FROM node") == 1
    await hanging.close()
    await working.close()


@pytest.mark.parametrize("ends", ["with a statement", "with the commit"])
async def test_who_thinks_for_too_long_between_two_statements_is_told_that_the_database_is_away(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr(database_room, "_IDLE_S", 0.1)
    hasty, patient = Database(empty_database, pool_size=1), Database(empty_database, pool_size=1, think_within_s=30)

    async def think(database: Database) -> None:
        async with database.snapshot() as tx:
            await tx.pg.fetchval("SELECT 1")
            await asyncio.sleep(0.4)
            if ends == "with a statement":
                await tx.pg.fetchval("SELECT 2")

    await think(patient)
    with pytest.raises(asyncpg.PostgresConnectionError) as told:
        await think(hasty)
    problem = problem_of(told.value, statuses={})
    assert (problem.status, problem.code) == (503, "unavailable")
    for database in (hasty, patient):
        await database.close()
