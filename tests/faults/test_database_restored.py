"""A database comes back from an older backup: its publisher stops before it forks, its consumer catches up (R19, R25).

The backup is a copy by template; what came after it is lost, as when a server burns and its last log was not shipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.messaging import read_back as read_back_module
from shared.messaging.inbox import OffsetGone
from shared.messaging.kafka import Kafka
from shared.messaging.read_back import OutboxBehind
from shared.storage.database import Database
from tests.support.messaging import Line, Load, line, running, supervised, took_effect_once, until
from tributary.adopt import SequenceTaken, adopt_into


@pytest.fixture
async def wire(empty_database: str, postgres_url: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    own = f"{unique_name}_consumer"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'CREATE DATABASE "{own}"')
    consumer_url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{own}"))
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name, consumer_url=consumer_url) as made:
        yield made
    for database in (own, f"{own}_backup", f"{unique_name}_backup"):
        await server.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
    await server.close()


async def _copy(database: Database, *, source: str, target: str) -> None:
    """Copy a database of the server over another."""
    await database.close()
    server = await asyncpg.connect(urlunsplit(urlsplit(database.url)._replace(path="/postgres")))
    await server.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)')
    await server.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')
    await server.close()


def _name(database: Database) -> str:
    return urlsplit(database.url).path.removeprefix("/")


async def _back_up(database: Database) -> None:
    await _copy(database, source=_name(database), target=f"{_name(database)}_backup")


async def _restore(database: Database) -> None:
    await _copy(database, source=f"{_name(database)}_backup", target=_name(database))


async def _published(wire: Line, load: Load, *, rounds: int) -> None:
    """Publish and apply some rounds, with the relay and the inbox stopped again afterwards."""
    for _ in range(rounds):
        await load.publish_once()
    async with running(wire.relay().run, wire.inbox().run):
        await took_effect_once(wire, load)


async def _stops(wire: Line) -> OutboxBehind:
    """Start the relay as it would be started; it must say what is wrong and send nothing."""
    relay = wire.relay()
    with pytest.raises(OutboxBehind, match="tributary events adopt") as told:
        await asyncio.wait_for(relay.run(asyncio.Event()), 60)
    assert relay.published == 0
    return told.value


async def test_r19_a_restored_publisher_sends_nothing_under_sequences_that_the_topic_has_already(wire: Line) -> None:
    load = Load(wire)
    await _published(wire, load, rounds=5)
    await _back_up(wire.database)
    await _published(wire, load, rounds=5)
    await _restore(wire.database)
    # The record of the restored last ack is where it was; what comes after it is what gives the loss away.
    assert (await _stops(wire)).record.sequence == 6
    # Commands go on, and write the same sequences anew: still nothing of it leaves.
    for _ in range(3):
        await load.publish_once()
    await _stops(wire)
    assert len(await wire.effects()) == 60
    assert await wire.parked() == []


async def test_r19_a_publisher_restored_to_before_its_first_ack_is_noticed_too(wire: Line) -> None:
    load = Load(wire)
    await load.publish_once()
    await _back_up(wire.database)
    await _published(wire, load, rounds=3)
    await _restore(wire.database)
    assert (await _stops(wire)).record.sequence == 2


async def test_r19_what_was_sent_and_never_marked_is_our_own_and_stops_nobody(
    wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Page by page, so that one take-over does not read all of it.
    monkeypatch.setattr(read_back_module, "_MOST", 20)
    monkeypatch.setattr(read_back_module, "_PAGE", 10)
    load = Load(wire)
    await load.publish_once()
    await _back_up(wire.database)
    for _ in range(30):
        await load.publish_once()
    await _copy(wire.database, source=_name(wire.database), target=f"{_name(wire.database)}_all")
    async with running(wire.relay().run, wire.inbox().run):
        await took_effect_once(wire, load)
    # All rows are there, no mark and no ack: as after a relay that died between the sends and the marks.
    await _copy(wire.database, source=f"{_name(wire.database)}_all", target=_name(wire.database))
    inbox = wire.inbox()
    async with running(wire.relay().run, inbox.run):
        await took_effect_once(wire, load)

        async def copies_were_skipped() -> bool:
            return inbox.duplicates == 31 * 6

        await until(copies_were_skipped)
    server = await asyncpg.connect(urlunsplit(urlsplit(wire.database.url)._replace(path="/postgres")))
    await server.execute(f'DROP DATABASE "{_name(wire.database)}_all" WITH (FORCE)')
    await server.close()


async def test_r19_a_database_restored_up_to_its_last_commit_goes_on_by_itself(wire: Line) -> None:
    load = Load(wire)
    await _published(wire, load, rounds=5)
    for _ in range(5):
        await load.publish_once()
    await _back_up(wire.database)
    await _restore(wire.database)
    async with running(wire.relay().run, wire.inbox().run):
        await load.publish_once()
        await took_effect_once(wire, load)


async def test_r25_the_restored_outbox_adopts_what_it_published_and_numbers_on_behind_it(wire: Line) -> None:
    load = Load(wire)
    await _published(wire, load, rounds=5)
    await _back_up(wire.database)
    await _published(wire, load, rounds=5)
    await _restore(wire.database)
    await _stops(wire)

    adopted = await adopt_into(wire.database, kafka=Kafka(wire.bootstrap), topics=[wire.happened.topic])
    assert sorted((each.subject, each.sequence) for each in adopted) == [
        (f"t{k}", sequence) for k in range(6) for sequence in range(6, 11)
    ]
    assert await adopt_into(wire.database, kafka=Kafka(wire.bootstrap), topics=[wire.happened.topic]) == []
    async with running(wire.relay().run, wire.inbox().run):
        for _ in range(5):
            await load.publish_once()
        await took_effect_once(wire, load)
    assert len(await wire.effects()) == 90


async def test_r25_nothing_is_adopted_when_the_service_has_given_a_sequence_away_again(wire: Line) -> None:
    load = Load(wire)
    await _published(wire, load, rounds=2)
    await _back_up(wire.database)
    await _published(wire, load, rounds=2)
    await _restore(wire.database)
    await load.publish_once()
    with pytest.raises(SequenceTaken, match="before its API and its worker start"):
        await adopt_into(wire.database, kafka=Kafka(wire.bootstrap), topics=[wire.happened.topic])
    async with wire.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM outbox") == 18


async def test_r19_a_restored_consumer_goes_back_to_its_own_offsets_and_applies_the_rest_once(wire: Line) -> None:
    load = Load(wire)
    await _published(wire, load, rounds=5)
    await _back_up(wire.consumer)
    await _published(wire, load, rounds=5)
    await _restore(wire.consumer)
    assert len(await wire.effects()) == 30
    inbox = wire.inbox()
    async with supervised(wire.name, relay=wire.relay().run, inbox=inbox.run), load.going():
        await asyncio.sleep(0.5)
    async with running(wire.relay().run, wire.inbox().run):
        await took_effect_once(wire, load)


async def test_r25_a_consumer_restored_to_before_the_topics_start_stops_and_says_so(wire: Line) -> None:
    load = Load(wire)
    await _published(wire, load, rounds=2)
    await _back_up(wire.consumer)
    await _published(wire, load, rounds=3)
    admin = AIOKafkaAdminClient(bootstrap_servers=wire.bootstrap)
    await admin.start()
    async with wire.consumer.reader() as tx:
        rows = await tx.pg.fetch("SELECT * FROM inbox_offset WHERE next_offset > 0")
    # Everything that was applied so far is taken off the topic, by somebody who gave it a retention after all.
    await admin.delete_records(
        {TopicPartition(row["topic"], row["partition"]): RecordsToDelete(row["next_offset"]) for row in rows}
    )
    await admin.close()
    await _restore(wire.consumer)
    with pytest.raises(OffsetGone):
        await asyncio.wait_for(wire.inbox().run(asyncio.Event()), 60)
