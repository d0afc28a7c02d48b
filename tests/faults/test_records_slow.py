"""A consumer slower than its topic, and a batch slower than its session: lag, and nothing worse (R19, R25)."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import TopicPartition

from shared.events.envelope import Received
from shared.messaging import inbox as inbox_module
from shared.messaging.inbox import Inbox
from shared.storage.database import Transaction
from tests.support.messaging import Line, Load, line, record_effects, running, supervised, took_effect_once, until

_FLAT_KB = 150_000


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


def _assignments(inboxes: Sequence[Inbox], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often each inbox is given partitions."""
    counts = [0] * len(inboxes)

    def counting(nth: int, inbox: Inbox) -> None:
        begin = inbox.begin

        async def counted(partitions: Sequence[TopicPartition]) -> None:
            counts[nth] += 1
            await begin(partitions)

        monkeypatch.setattr(inbox, "begin", counted)

    for nth, inbox in enumerate(inboxes):
        counting(nth, inbox)
    return counts


async def test_r25_a_slow_consumer_lags_keeps_its_partitions_and_its_memory_and_catches_up(
    wire: Line, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    rounds = 4000 if request.config.getoption("--run-long") else 150
    monkeypatch.setattr(inbox_module, "_BATCH", 50)
    slow = True

    async def slowly(tx: Transaction, events: Sequence[Received]) -> None:
        await tx.pg.execute("SELECT pg_sleep($1)", 0.3 if slow else 0.0)
        await record_effects(tx, events)

    load = Load(wire, aggregates=20, pause_s=0)
    inboxes = [wire.inbox({wire.happened: slowly}) for _ in range(2)]
    counts = _assignments(inboxes, monkeypatch)

    async def both_have_joined() -> bool:
        return all(inbox._has_joined for inbox in inboxes)

    async with running(wire.relay().run, *(inbox.run for inbox in inboxes)):
        await until(both_have_joined)
        settled, before_kb = list(counts), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(rounds):
            await load.publish_once()
        lag = rounds * 20 - len(await wire.effects())
        slow = False
        await took_effect_once(wire, load, within_s=150)
    assert lag > rounds * 10
    assert sum(counts) - sum(settled) <= 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < _FLAT_KB


@pytest.mark.timeout(240)
async def test_r25_a_batch_slower_than_the_session_keeps_its_partitions(
    wire: Line, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--run-long"):
        pytest.skip("a batch longer than the session's 10 s: in the long run")
    batches = 0

    async def slowly(tx: Transaction, events: Sequence[Received]) -> None:
        nonlocal batches
        batches += 1
        await tx.pg.execute("SELECT pg_sleep(13)")
        await record_effects(tx, events)

    load, inbox = Load(wire), wire.inbox({wire.happened: slowly})
    counts = _assignments([inbox], monkeypatch)
    for _ in range(3):
        await load.publish_once()
    async with supervised(wire.name, relay=wire.relay().run, inbox=inbox.run) as jobs:
        await took_effect_once(wire, load, within_s=150)
        assert jobs.problems == jobs.restarting == {}
    await asyncio.sleep(0)
    assert counts == [1]
    assert batches <= 3 * 3
