"""A topic that is not what it was: truncated, cut at its end, made again, another cluster's (R19, R25).

The relay and the inbox stop loudly, and `tributary events republish` has everything there again, exactly once.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.events.topics import TOPICS
from shared.messaging.inbox import OffsetGone
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.read_back import TopicLost
from tests.support.messaging import Line, Load, line, running, supervised, took_effect_once, until
from tributary.embedded.kafka import EmbeddedKafka
from tributary.events import rewind, send_again, starts_of


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path / "kafka")
    await kafka.start()
    yield kafka
    kafka.kill()


@pytest.fixture
async def own_wire(empty_database: str, broker: EmbeddedKafka, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=broker.bootstrap_servers, name=unique_name) as made:
        yield made


async def _applied(wire: Line, load: Load, *, rounds: int = 5) -> None:
    for _ in range(rounds):
        await load.publish_once()
    async with running(wire.relay().run, wire.inbox().run):
        await took_effect_once(wire, load)


async def _stops(run: Callable[[asyncio.Event], Awaitable[None]], error: type[Exception]) -> None:
    with pytest.raises(error, match="tributary events republish"):
        await asyncio.wait_for(run(asyncio.Event()), 60)


async def _republish(wire: Line) -> None:
    """Do what `tributary events republish` does, for a topic that is no service's."""
    kafka = Kafka(wire.bootstrap)
    await ensure_topics(kafka, topics={wire.happened.topic: TOPICS[wire.happened.topic]})
    await send_again(wire.database, topics=[wire.happened.topic])
    await rewind(wire.consumer, starts=await starts_of(kafka, topics=[wire.happened.topic]))


async def _is_whole_again(wire: Line, load: Load) -> None:
    """Everything goes on, and a reader that starts now gets every event too."""
    async with running(wire.relay().run, wire.inbox().run):
        for _ in range(3):
            await load.publish_once()
        await took_effect_once(wire, load)
    async with wire.consumer.transaction() as tx:
        await tx.pg.execute("TRUNCATE effect, inbox_head")
    await rewind(wire.consumer, starts=await starts_of(Kafka(wire.bootstrap), topics=[wire.happened.topic]))
    async with running(wire.inbox().run):
        await took_effect_once(wire, load)


async def _truncate(wire: Line, *, keep: int) -> None:
    """Delete all but the last so many records of each partition."""
    partitions = [TopicPartition(wire.happened.topic, n) for n in range(TOPICS[wire.happened.topic])]
    consumer = AIOKafkaConsumer(bootstrap_servers=wire.bootstrap)
    await consumer.start()
    ends = await consumer.end_offsets(partitions)
    await consumer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=wire.bootstrap)
    await admin.start()
    await admin.delete_records({each: RecordsToDelete(max(0, end - keep)) for each, end in ends.items()})
    await admin.close()


async def test_r19_a_topic_truncated_before_what_everybody_has_is_noticed_only_by_who_starts_at_zero(
    wire: Line,
) -> None:
    load = Load(wire)
    await _applied(wire, load)
    await _truncate(wire, keep=1)
    await _applied(wire, load)
    # A read model that is built anew would lack what was truncated.
    async with wire.consumer.transaction() as tx:
        await tx.pg.execute("TRUNCATE effect, inbox_head, inbox_offset")
    await _stops(wire.inbox().run, OffsetGone)
    await _republish(wire)
    await _is_whole_again(wire, load)


async def test_r19_a_topic_truncated_past_the_last_ack_stops_relay_and_inbox_and_is_sent_again(wire: Line) -> None:
    load = Load(wire)
    await _applied(wire, load)
    for _ in range(5):
        await load.publish_once()
    relay = wire.relay()
    async with running(relay.run):

        async def sent() -> bool:
            return relay.published == 30

        await until(sent)
    await _truncate(wire, keep=0)
    await _stops(wire.relay().run, TopicLost)
    await _stops(wire.inbox().run, OffsetGone)
    assert len(await wire.effects()) == 30
    await _republish(wire)
    await _is_whole_again(wire, load)


async def test_r19_a_topic_deleted_and_made_again_stops_the_running_relay(wire: Line) -> None:
    load = Load(wire)
    await _applied(wire, load)
    admin = AIOKafkaAdminClient(bootstrap_servers=wire.bootstrap)
    await admin.start()
    async with supervised(wire.name, relay=wire.relay().run) as jobs:
        await load.publish_once()
        await admin.delete_topics([wire.happened.topic])

        async def is_gone() -> bool:
            return wire.happened.topic not in await admin.list_topics()

        await until(is_gone)
        await ensure_topics(Kafka(wire.bootstrap), topics={wire.happened.topic: TOPICS[wire.happened.topic]})
        await admin.close()

        async def stopped() -> bool:
            await load.publish_once()
            return bool(jobs.problems)

        await until(stopped, within_s=60)
        assert "tributary events republish" in jobs.problems[f"{wire.name}/relay"]
    await _stops(wire.inbox().run, OffsetGone)
    await _republish(wire)
    await _is_whole_again(wire, load)


def _cut_tail(broker: EmbeddedKafka, topic: str, *, batches: int) -> int:
    """Take the last batches off a topic's segments on disk, as a disk that lied does; return how many partitions."""
    cut = 0
    for folder in broker.nodes[0].folder.joinpath("data").glob(f"{topic}-*"):
        (segment,) = folder.glob("*.log")
        held, starts, at = segment.read_bytes(), [], 0
        while at + 12 <= len(held):
            length = struct.unpack(">i", held[at + 8 : at + 12])[0]
            if length <= 0:
                break
            starts.append(at)
            at += 12 + length
        if starts:
            segment.write_bytes(held[: starts[-batches] if len(starts) >= batches else 0])
            cut += 1
        for index in [*folder.glob("*.index"), *folder.glob("*.timeindex"), *folder.glob("*.snapshot")]:
            index.unlink()
    return cut


async def _restart(broker: EmbeddedKafka) -> None:
    broker.start_node(broker.nodes[0])
    assert await broker._ready(30)


async def test_r19_a_lost_tail_stops_relay_and_inbox_when_they_start(own_wire: Line, broker: EmbeddedKafka) -> None:
    load = Load(own_wire)
    await _applied(own_wire, load)
    await _applied(own_wire, load)
    broker.stop()
    assert _cut_tail(broker, own_wire.happened.topic, batches=1)
    await _restart(broker)
    await _stops(own_wire.relay().run, TopicLost)
    await _stops(own_wire.inbox().run, OffsetGone)
    await _republish(own_wire)
    await _is_whole_again(own_wire, load)


async def test_r19_a_tail_lost_under_a_relay_that_runs_is_noticed_at_its_next_send(
    own_wire: Line, broker: EmbeddedKafka
) -> None:
    load = Load(own_wire)
    await _applied(own_wire, load)
    async with supervised(own_wire.name, relay=own_wire.relay().run) as jobs:
        await load.publish_once()
        await asyncio.sleep(1)
        # It has nothing to send while the broker is away, and hears of nothing.
        broker.stop()
        assert _cut_tail(broker, own_wire.happened.topic, batches=2)
        await _restart(broker)
        await load.publish_once()

        async def stopped() -> bool:
            return bool(jobs.problems)

        await until(stopped, within_s=60)
        assert "tributary events republish" in jobs.problems[f"{own_wire.name}/relay"]
    await _republish(own_wire)
    await _is_whole_again(own_wire, load)


async def test_r19_another_cluster_behind_the_same_address_stops_the_relay_and_the_inbox(
    own_wire: Line, broker: EmbeddedKafka, tmp_path: Path
) -> None:
    load = Load(own_wire)
    await _applied(own_wire, load)
    broker.kill()
    other = EmbeddedKafka(tmp_path / "other")
    other.nodes[0].port, other.nodes[0].controller_port = broker.nodes[0].port, broker.nodes[0].controller_port
    other._format_once()
    try:
        await _restart(other)
        await ensure_topics(Kafka(own_wire.bootstrap), topics={own_wire.happened.topic: 3})
        await _stops(own_wire.relay().run, TopicLost)
        await _stops(own_wire.inbox().run, OffsetGone)
        await _republish(own_wire)
        await _is_whole_again(own_wire, load)
    finally:
        other.kill()
