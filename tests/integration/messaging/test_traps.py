"""The traps that a prototype fell into; each test fails when its protection is taken out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.events.envelope import EVENT_TYPES
from shared.messaging import relay as relay_module
from shared.messaging.inbox import OffsetGone
from shared.messaging.outbox import append
from shared.runtime.leases import keep_leases
from shared.storage.database import Database, NestedTransaction
from tests.support.messaging import Line, line, running, until


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


async def test_an_event_that_commits_long_after_a_later_one_is_not_lost_and_holds_nobody_up(
    wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cursor over positions would pass it by; a rule over open transactions would stop everybody behind it.
    monkeypatch.setattr(relay_module, "_FROM_ZERO_S", 3.0)
    appended, may_commit = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        async with wire.database.transaction() as tx:
            await append(tx, [wire.happened(thing_id="slow", n=1)], source=wire.name)
            appended.set()
            await may_commit.wait()

    async def effects_are(count: int) -> bool:
        return len(await wire.effects()) == count

    async with running(wire.relay().run, wire.inbox().run):
        slow = asyncio.create_task(slowly())
        await appended.wait()
        for n in range(3):
            await wire.publish([wire.happened(thing_id=f"quick{n}", n=n)])
        await until(lambda: effects_are(3))
        # Longer than the second for which the relay looks back.
        await asyncio.sleep(2.5)
        may_commit.set()
        await slow
        await until(lambda: effects_are(4))
    assert ("slow", 1) in await wire.effects()


async def test_an_aggregates_positions_follow_its_sequences_though_its_writers_wait_for_each_other(wire: Line) -> None:
    # Drawn before the lock, the one who waits would have the earlier position and the later sequence.
    first_is_in, other_waits = asyncio.Event(), asyncio.Event()

    async def two_in_one() -> None:
        async with wire.database.transaction() as tx:
            await append(tx, [wire.happened(thing_id="hot", n=1)], source=wire.name)
            first_is_in.set()
            await other_waits.wait()
            await append(tx, [wire.happened(thing_id="hot", n=2)], source=wire.name)

    async def waits() -> bool:
        async with wire.database.reader() as tx:
            return bool(await tx.pg.fetchval("SELECT true FROM pg_locks WHERE NOT granted"))

    writing = asyncio.create_task(two_in_one())
    await first_is_in.wait()
    waiting = asyncio.create_task(wire.publish([wire.happened(thing_id="hot", n=3)]))
    await until(waits)
    other_waits.set()
    await asyncio.gather(writing, waiting)
    async with wire.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT sequence FROM outbox ORDER BY position")
    assert [row["sequence"] for row in rows] == [1, 2, 3]


async def test_a_lease_is_nobody_elses_before_it_runs_out(wire: Line) -> None:
    async def keeps(owner: str, *, seconds: float) -> dict[str, int]:
        async with wire.database.transaction() as tx:
            return await keep_leases(tx, group="g", owner=owner, names=["x", "y"], seconds=seconds)

    assert await keeps("first", seconds=60) == {"x": 1, "y": 1}
    assert await keeps("second", seconds=60) == {}
    # Now that there are two, each has its half; what is let go is taken with the next epoch.
    assert await keeps("first", seconds=60) == {"x": 1}
    assert await keeps("second", seconds=60) == {"y": 2}


async def test_a_relay_whose_lease_went_to_another_marks_nothing_and_what_it_sent_is_skipped_as_a_copy(
    wire: Line,
) -> None:
    async def effects_are(count: int) -> bool:
        return len(await wire.effects()) == count

    async def pending() -> int:
        async with wire.database.reader() as tx:
            return int(await tx.pg.fetchval("SELECT count(*) FROM outbox_pending"))

    async def nothing_pends() -> bool:
        return await pending() == 0

    inbox = wire.inbox()
    async with running(wire.relay().run, inbox.run):
        await wire.publish([wire.happened(thing_id="a", n=1)])
        await until(lambda: effects_are(1))
        await until(nothing_pends)
        async with wire.database.transaction() as tx:
            await tx.pg.execute(
                """UPDATE lease SET owner = 'another', epoch = epoch + 1, expires_at = clock_timestamp() + '3 s'
                WHERE name NOT LIKE '%/member/%'"""
            )
            await append(tx, [wire.happened(thing_id="a", n=2)], source=wire.name)
        await until(lambda: effects_are(2))
        # Sent, and applied, but not its own to mark any more.
        assert await pending() == 1
        await until(nothing_pends)
    assert await wire.effects() == [("a", 1), ("a", 2)]
    assert inbox.duplicates >= 1


async def test_where_a_consumer_stands_is_what_its_database_says_and_not_what_kafka_remembers(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id=f"t{n}", n=n) for n in range(20)])

    async def all_came() -> bool:
        return len(await wire.effects()) == 20

    async def kafka_remembers_all() -> bool:
        kept = await admin.list_consumer_group_offsets(f"scf.{wire.name}")
        return bool(sum(each.offset for each in kept.values()) == 20)

    admin = AIOKafkaAdminClient(bootstrap_servers=wire.bootstrap)
    await admin.start()
    try:
        async with running(wire.relay().run, wire.inbox().run):
            await until(all_came)
            await until(kafka_remembers_all)
    finally:
        await admin.close()
    # As after a restore, or to build a read model again: effects, heads and offsets are one state.
    async with wire.database.transaction() as tx:
        await tx.pg.execute("TRUNCATE effect, inbox_head, inbox_offset")
    async with running(wire.inbox().run):
        await until(all_came)


async def test_a_batch_that_fails_leaves_neither_effects_nor_offsets(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id=f"t{n}", n=n) for n in range(10)])
    async with running(wire.relay().run):

        async def nothing_pends() -> bool:
            async with wire.database.reader() as tx:
                return not await tx.pg.fetchval("SELECT count(*) FROM outbox_pending")

        await until(nothing_pends)
    async with wire.database.transaction() as tx:
        await tx.pg.execute(
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the offsets fail'; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON inbox_offset EXECUTE FUNCTION refuse()"""
        )
    with pytest.raises(asyncpg.RaiseError):
        await asyncio.wait_for(wire.inbox().run(asyncio.Event()), 60)
    async with wire.database.transaction() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM effect") == 0
        assert await tx.pg.fetchval("SELECT count(*) FROM inbox_head WHERE sequence > 0") == 0
        await tx.pg.execute("DROP TRIGGER refuse ON inbox_offset")

    async def all_came() -> bool:
        return len(await wire.effects()) == 10

    async with running(wire.inbox().run):
        await until(all_came)


async def test_an_offset_that_the_topic_no_longer_has_stops_the_inbox_loudly(wire: Line) -> None:
    async with wire.database.transaction() as tx:
        await tx.pg.execute("INSERT INTO inbox_offset VALUES ($1, 0, 5000)", wire.happened.topic)
    with pytest.raises(OffsetGone):
        await asyncio.wait_for(wire.inbox().run(asyncio.Event()), 60)


async def test_r25_an_event_of_an_unknown_type_waits_for_the_release_that_knows_it(wire: Line) -> None:
    known = EVENT_TYPES.pop(wire.happened.type)
    await wire.publish([wire.happened(thing_id="a", n=1), wire.happened(thing_id="a", n=2)])
    async with running(wire.relay().run, wire.inbox().run):

        async def both_wait() -> bool:
            return await wire.parked() == [("a", 1, "unknown_type"), ("a", 2, "gap")]

        await until(both_wait)
    EVENT_TYPES[wire.happened.type] = known
    async with running(wire.inbox().run):

        async def both_came() -> bool:
            return await wire.effects() == [("a", 1), ("a", 2)] and await wire.parked() == []

        await until(both_came)


async def test_a_second_connection_inside_a_transaction_is_refused_before_it_can_hang(wire: Line) -> None:
    async with wire.database.transaction():
        with pytest.raises(NestedTransaction):
            await wire.publish([wire.happened(thing_id="a")])


async def test_a_connection_interrupted_in_the_middle_is_closed_and_never_pooled(empty_database: str) -> None:
    database = Database(empty_database, pool_size=1)
    begun = asyncio.Event()
    backends: list[int] = []

    async def linger() -> None:
        async with database.transaction() as tx:
            backends.append(await tx.pg.fetchval("SELECT pg_backend_pid()"))
            begun.set()
            await tx.pg.execute("SELECT pg_sleep(60)")

    lingering = asyncio.create_task(linger())
    await begun.wait()
    await asyncio.sleep(0.05)
    lingering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lingering
    async with asyncio.timeout(40), database.transaction() as tx:
        assert await tx.pg.fetchval("SELECT pg_backend_pid()") != backends[0]
    await database.close()
