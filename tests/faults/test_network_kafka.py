"""The network between us and the broker resets, swallows, lags and loses one direction (R19, R25)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.topics import TOPICS
from tests.faults.proxy import Mode, Proxy
from tests.faults.report import Report
from tests.support.messaging import Line, Load, line, running, supervised, took_effect_once, until
from tributary.embedded.kafka import EmbeddedKafka

_TROUBLES = [Mode.RESET, Mode.SLOW, Mode.BLACK_HOLE, Mode.ANSWERS_LOST, Mode.REQUESTS_LOST]


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Proxy]:
    """Return the proxy that a broker of our own sends its clients to."""
    kafka = EmbeddedKafka(tmp_path / "kafka")
    async with Proxy().listening() as proxy:
        kafka.nodes[0].advertised_port = proxy.port
        await kafka.start()
        proxy.target_port = kafka.nodes[0].port
        yield proxy
        kafka.kill()


@pytest.fixture
async def wire(empty_database: str, network: Proxy, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=f"127.0.0.1:{network.port}", name=unique_name) as made:
        yield made


async def _ids_on_topic(wire: Line) -> Counter[str]:
    partitions = [TopicPartition(wire.happened.topic, n) for n in range(TOPICS[wire.happened.topic])]
    consumer = AIOKafkaConsumer(bootstrap_servers=wire.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: Counter[str] = Counter()
    try:
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for batch in (await consumer.getmany(partition, timeout_ms=1000)).values():
                    found.update(dict(record.headers)["ce_id"].decode() for record in batch)
    finally:
        await consumer.stop()
    return found


@pytest.mark.timeout(600)
async def test_r19_whatever_the_network_does_events_take_effect_once_and_in_order(
    wire: Line, network: Proxy, request: pytest.FixtureRequest
) -> None:
    # The long run stays in trouble beyond the session's, the request's and the lease's time.
    rounds, trouble_s = (3, 13.0) if request.config.getoption("--run-long") else (1, 0.7)
    load = Load(wire)
    async with supervised(wire.name, relay=wire.relay().run, inbox=wire.inbox().run) as jobs:
        async with load.going():
            for mode in _TROUBLES * rounds:
                await asyncio.sleep(0.5)
                network.become(mode)
                await asyncio.sleep(trouble_s)
                network.become(Mode.PASS)
        await took_effect_once(wire, load, within_s=120)
        assert jobs.problems == {}
    assert network.severed > 0
    assert network.swallowed > 0
    assert load.unanswered == []


async def test_r19_a_send_whose_answer_is_lost_comes_twice_and_its_copy_is_skipped(
    wire: Line, network: Proxy, report: Report
) -> None:
    load = Load(wire)
    await load.publish_once()
    sending = asyncio.create_task(wire.relay().run(asyncio.Event()))
    await _sent(wire)
    network.become(Mode.ANSWERS_LOST)
    for _ in range(4):
        await load.publish_once()

    async def answers_were_lost() -> bool:
        return network.swallowed > 0

    await until(answers_were_lost)
    await asyncio.sleep(0.5)
    # Its process is killed while it waits for the answer.
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    network.become(Mode.PASS)
    inbox = wire.inbox()
    async with running(wire.relay().run, inbox.run):
        await took_effect_once(wire, load)
        twice = [event_id for event_id, n in (await _ids_on_topic(wire)).items() if n > 1]

        async def copies_were_skipped() -> bool:
            return inbox.duplicates >= len(twice)

        await until(copies_were_skipped)
    assert twice
    report.hit("ambiguous send", len(twice))
    report.hit("copy skipped", inbox.duplicates)


async def _sent(wire: Line) -> None:
    async def nothing_pends() -> bool:
        async with wire.database.reader() as tx:
            return not await tx.pg.fetchval("SELECT count(*) FROM outbox_pending")

    await until(nothing_pends)


@pytest.mark.timeout(300)
async def test_r25_connections_that_died_without_a_word_are_given_up_in_time(
    wire: Line, network: Proxy, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--run-long"):
        pytest.skip("waits for the clients' own timeouts: in the long run")
    load = Load(wire)
    async with supervised(wire.name, relay=wire.relay().run, inbox=wire.inbox().run):
        async with load.going():
            await asyncio.sleep(2)
            # As when an address moves to another machine: nobody resets what the old one had.
            network.forget()
            await asyncio.sleep(1)
        await took_effect_once(wire, load, within_s=60)
