"""The protocol, on a real PostgreSQL and a real Kafka (R19, R25)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import AIOKafkaProducer

from shared.events.envelope import Received
from shared.messaging.applying import NotYet, TooManyFailures
from shared.messaging.outbox import append
from shared.messaging.read_back import TopicLost
from shared.storage.database import Transaction
from tests.support.messaging import Line, line, record_effects, running, until


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


async def _send_again(wire: Line, *, sequence: int, subject: str, event_id: str, n: int = 0) -> None:
    """Put a record on the topic that no relay sent."""
    headers = {
        "ce_id": event_id,
        "ce_type": wire.happened.type,
        "ce_source": wire.name,
        "ce_subject": subject,
        "ce_time": "2026-11-24T12:00:00Z",
        "ce_sequence": str(sequence),
    }
    body = wire.happened(thing_id=subject, n=n).model_dump_json().encode()
    async with AIOKafkaProducer(bootstrap_servers=wire.bootstrap, acks="all") as producer:
        sent = [(name, value.encode()) for name, value in headers.items()]
        await producer.send_and_wait(wire.happened.topic, body, key=subject.encode(), partition=0, headers=sent)


async def test_every_event_takes_effect_once_and_in_the_order_of_its_aggregate(wire: Line) -> None:
    async def write(first: int) -> None:
        for n in range(first, first + 25):
            await wire.publish([wire.happened(thing_id=f"t{n % 7}", n=n), wire.happened(thing_id="hot", n=n)])

    async with running(wire.relay().run, wire.inbox().run):
        await asyncio.gather(*(write(first) for first in range(0, 200, 25)))

        async def all_came() -> bool:
            return len(await wire.effects()) == 400

        await until(all_came)
    async with wire.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT subject, body::json->>'n' AS n FROM outbox ORDER BY subject, sequence")
        assert await tx.pg.fetchval("SELECT count(*) FROM outbox_pending") == 0
    said, done = defaultdict(list), defaultdict(list)
    for row in rows:
        said[row["subject"]].append(int(row["n"]))
    for subject, n in await wire.effects():
        done[subject].append(n)
    assert done == said


async def test_events_of_one_call_keep_their_order_and_roll_back_with_the_transaction(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id="a", n=n) for n in range(5)])

    async def fail_after_appending() -> None:
        async with wire.database.transaction() as tx:
            await append(tx, [wire.happened(thing_id="a", n=99)], source="test")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_appending()
    await wire.publish([wire.happened(thing_id="a", n=5)])
    async with wire.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT sequence, body::json->>'n' AS n FROM outbox ORDER BY position")
    assert [(row["sequence"], row["n"]) for row in rows] == [(n + 1, str(n)) for n in range(6)]


async def test_a_copy_is_skipped_a_gap_waits_and_a_fork_is_parked(wire: Line) -> None:
    async with running(wire.inbox().run):
        await _send_again(wire, sequence=1, subject="a", event_id="e1", n=1)
        await _send_again(wire, sequence=1, subject="a", event_id="e1", n=1)
        await _send_again(wire, sequence=3, subject="a", event_id="e3", n=3)
        await _send_again(wire, sequence=1, subject="b", event_id="f1", n=1)

        async def gap_is_parked() -> bool:
            return await wire.parked() == [("a", 3, "gap")] and len(await wire.effects()) == 2

        await until(gap_is_parked)
        await _send_again(wire, sequence=2, subject="a", event_id="e2", n=2)

        async def gap_is_closed() -> bool:
            return [n for subject, n in await wire.effects() if subject == "a"] == [1, 2, 3]

        await until(gap_is_closed)
        assert await wire.parked() == []
        await _send_again(wire, sequence=3, subject="a", event_id="another", n=7)

        async def fork_is_parked() -> bool:
            return await wire.parked() == [("a", 3, "fork")]

        await until(fork_is_parked)


async def test_poison_parks_its_own_aggregate_and_no_other(wire: Line) -> None:
    async def picky(tx: Transaction, events: Sequence[Received]) -> None:
        await record_effects(tx, events)
        if any(event.subject == "bad" for event in events):
            message = "poison"
            raise ValueError(message)

    names = ["good1", "bad", "good2", "bad", "good3"]
    await wire.publish([wire.happened(thing_id=name, n=n) for n, name in enumerate(names)])
    async with running(wire.relay().run, wire.inbox({wire.happened: picky}).run):

        async def others_went_on() -> bool:
            return len(await wire.effects()) == 3 and len(await wire.parked()) == 2

        await until(others_went_on)
    assert await wire.parked() == [("bad", 1, "failed"), ("bad", 2, "gap")]


async def test_an_event_that_needs_another_waits_until_that_one_moves(wire: Line) -> None:
    async def needs_parent(tx: Transaction, events: Sequence[Received]) -> None:
        known = {row["thing_id"] for row in await tx.pg.fetch("SELECT thing_id FROM effect")}
        if any(event.subject == "child" for event in events) and "parent" not in known:
            raise NotYet(topic=wire.happened.topic, subject="parent")
        await record_effects(tx, events)

    async with running(wire.relay().run, wire.inbox({wire.happened: needs_parent}).run):
        await wire.publish([wire.happened(thing_id="child", n=1)])

        async def child_waits() -> bool:
            return await wire.parked() == [("child", 1, "waits")]

        await until(child_waits)
        await wire.publish([wire.happened(thing_id="parent", n=0)])

        async def child_came() -> bool:
            return await wire.effects() == [("parent", 0), ("child", 1)] and not await wire.parked()

        await until(child_came)


async def test_a_bad_release_stops_instead_of_parking_everything(wire: Line) -> None:
    async def broken(_: Transaction, __: Sequence[Received]) -> None:
        raise RuntimeError

    await wire.publish([wire.happened(thing_id=f"t{n}", n=n) for n in range(30)])
    async with running(wire.relay().run):
        with pytest.raises(TooManyFailures):
            await asyncio.wait_for(wire.inbox({wire.happened: broken}).run(asyncio.Event()), 60)
    # At most what may fail within a minute was parked; the batch that went beyond is as if it had not been read.
    assert len(await wire.parked()) <= 20
    async with running(wire.inbox().run):

        async def the_rest_came() -> bool:
            return len(await wire.effects()) + len(await wire.parked()) == 30

        await until(the_rest_came)


async def test_what_was_consumed_is_not_consumed_again_after_a_restart(wire: Line) -> None:
    async def effects_are(count: int) -> bool:
        return len(await wire.effects()) == count

    for round_ in (1, 2):
        await wire.publish([wire.happened(thing_id=f"t{n}", n=n) for n in range(50)])
        inbox = wire.inbox()
        async with running(wire.relay().run, inbox.run):
            await until(lambda: effects_are(50 * round_))  # noqa: B023 - awaited inside the loop
        assert (inbox.consumed, inbox.duplicates) == (50, 0)


async def test_a_lost_topic_stops_the_relay_loudly(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id="a", n=1)])
    relay = wire.relay()
    async with running(relay.run):

        async def sent() -> bool:
            return relay.published == 1

        await until(sent)
    async with wire.database.transaction() as tx:
        await tx.pg.execute("UPDATE relay_ack SET record_offset = record_offset + 1000")
    with pytest.raises(TopicLost):
        await asyncio.wait_for(wire.relay().run(asyncio.Event()), 60)


async def test_two_relays_share_the_shards_and_nothing_is_lost_or_reordered(wire: Line) -> None:
    relays = [wire.relay(), wire.relay()]
    async with running(*(relay.run for relay in relays), wire.inbox().run):
        for n in range(60):
            await wire.publish([wire.happened(thing_id=f"t{k}", n=n) for k in range(8)])
            await asyncio.sleep(0.03)

        async def all_came() -> bool:
            return len(await wire.effects()) == 480

        await until(all_came)
    done = defaultdict(list)
    for subject, n in await wire.effects():
        done[subject].append(n)
    assert all(numbers == list(range(60)) for numbers in done.values())
    assert all(relay.published > 0 for relay in relays)
