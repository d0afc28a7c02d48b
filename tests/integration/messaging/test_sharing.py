"""Several workers of one service: draining the same parked rows, a rebalance in a commit, a take-over from the dead."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from shared.events.envelope import Received
from shared.messaging import relay as relay_module
from shared.messaging.applying import NotYet
from shared.runtime.leases import release_leases
from shared.storage.database import Transaction
from tests.support.messaging import Line, line, record_effects, running, until

_WAITING, _CHILDREN = 650, 300


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


def _needs(wire: Line) -> Callable[[Transaction, Sequence[Received]], Awaitable[None]]:
    """Return a handler of things that each need another, the first part of their name."""

    async def handle(tx: Transaction, events: Sequence[Received]) -> None:
        needed = sorted({event.subject.rpartition(".")[0] for event in events} - {""})
        rows = await tx.pg.fetch("SELECT DISTINCT thing_id FROM effect WHERE thing_id = ANY($1)", needed)
        known = {row["thing_id"] for row in rows}
        for name in needed:
            if name not in known:
                raise NotYet(topic=wire.happened.topic, subject=name)
        await record_effects(tx, events)

    return handle


async def _waiting(wire: Line) -> int:
    async with wire.database.reader() as tx:
        return int(await tx.pg.fetchval("SELECT count(*) FROM inbox_parked WHERE reason = 'waits'"))


async def test_hundreds_that_still_wait_hold_up_none_whose_turn_has_come(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id=f"never.{n:04}", n=n) for n in range(_WAITING)])
    await wire.publish([wire.happened(thing_id="soon.zzzz", n=0)])
    async with running(wire.relay().run, wire.inbox({wire.happened: _needs(wire)}).run):

        async def all_wait() -> bool:
            return await _waiting(wire) == _WAITING + 1

        await until(all_wait, within_s=60)
        async with wire.database.reader() as tx:
            tries = await tx.pg.fetchval("SELECT sum(attempts) FROM inbox_parked")
        await wire.publish([wire.happened(thing_id="soon", n=0)])

        async def it_came() -> bool:
            return ("soon.zzzz", 0) in await wire.effects()

        await until(it_came)
    assert await _waiting(wire) == _WAITING
    async with wire.database.reader() as tx:
        # What the others wait for has not moved: nobody tried them.
        assert await tx.pg.fetchval("SELECT sum(attempts) FROM inbox_parked") == tries - 1


async def test_r19_two_workers_that_drain_the_same_parked_events_apply_each_once_and_in_order(wire: Line) -> None:
    children = [f"parent.{n:04}" for n in range(_CHILDREN)]
    await wire.publish([wire.happened(thing_id=name, n=n) for name in children for n in (1, 2)])
    inboxes = [wire.inbox({wire.happened: _needs(wire)}) for _ in range(2)]
    async with running(wire.relay().run, *(inbox.run for inbox in inboxes)):

        async def all_wait() -> bool:
            return len(await wire.parked()) == 2 * _CHILDREN

        await until(all_wait, within_s=60)
        await wire.publish([wire.happened(thing_id="parent", n=0)])

        async def nothing_waits() -> bool:
            return not await wire.parked() and len(await wire.effects()) > _CHILDREN

        await until(nothing_waits, within_s=60)
    done = defaultdict(list)
    for name, n in await wire.effects():
        done[name].append(n)
    assert dict(done) == {"parent": [0], **{name: [1, 2] for name in children}}
    assert sum(inbox.consumed for inbox in inboxes) == 2 * _CHILDREN + 1


async def test_r19_when_partitions_change_hands_in_the_middle_of_a_commit_each_effect_comes_once(wire: Line) -> None:
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(tx: Transaction, events: Sequence[Received]) -> None:
        await record_effects(tx, events)
        begun.set()
        await may_go_on.wait()

    async def blocked() -> bool:
        async with wire.database.reader() as tx:
            return bool(
                await tx.pg.fetchval(
                    """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                    AND datname = current_database() AND query LIKE '%inbox_offset%'"""
                )
            )

    await wire.publish([wire.happened(thing_id=f"t{n}", n=n) for n in range(30)])
    first, second = wire.inbox({wire.happened: slowly}), wire.inbox()
    async with running(wire.relay().run, first.run):
        await begun.wait()
        async with running(second.run):
            # The second was given partitions of the first, has fetched what the first has not committed, and waits.
            await until(blocked)
            may_go_on.set()

            async def all_came() -> bool:
                return len(await wire.effects()) >= 30

            await until(all_came)
            await wire.publish([wire.happened(thing_id=f"t{n}", n=n + 100) for n in range(30)])

            async def the_next_came() -> bool:
                return len(await wire.effects()) >= 60

            await until(the_next_came)
    assert set(Counter(await wire.effects()).values()) == {1}
    assert (first.consumed + second.consumed, first.duplicates + second.duplicates) == (60, 0)


async def test_r19_of_three_relays_one_dies_and_the_others_take_its_shards_over(
    wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays = [wire.relay() for _ in range(3)]
    dead = relays[2]

    async def release(tx: Transaction, *, group: str, owner: str) -> None:
        # Who is killed releases nothing: its lease runs out.
        if owner != dead.owner:
            await release_leases(tx, group=group, owner=owner)

    monkeypatch.setattr(relay_module, "release_leases", release)
    names = [f"t{n}" for n in range(12)]

    async def each_has_a_shard() -> bool:
        async with wire.database.reader() as tx:
            owners = await tx.pg.fetchval("SELECT count(DISTINCT owner) FROM lease WHERE name NOT LIKE '%/member/%'")
        return bool(owners == 3)

    async with running(relays[0].run, relays[1].run, wire.inbox().run):
        dying = asyncio.ensure_future(dead.run(asyncio.Event()))
        await until(each_has_a_shard)

        async def it_has_sent() -> bool:
            await wire.publish([wire.happened(thing_id=name, n=0) for name in names])
            return dead.published > 0

        await until(it_has_sent)
        dying.cancel()
        await asyncio.wait({dying})
        for n in range(1, 21):
            await wire.publish([wire.happened(thing_id=name, n=n) for name in names])
        said = await _said(wire)

        async def all_came() -> bool:
            return Counter(name for name, _ in await wire.effects()) == Counter(name for name, _ in said)

        await until(all_came)
    assert sorted(await wire.effects()) == sorted(said)
    done = defaultdict(list)
    for name, n in await wire.effects():
        done[name].append(n)
    assert all(numbers == sorted(numbers) for numbers in done.values())


async def _said(wire: Line) -> list[tuple[str, int]]:
    async with wire.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT subject, (body::json->>'n')::int AS n FROM outbox")
    return [(row["subject"], row["n"]) for row in rows]
