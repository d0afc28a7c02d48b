"""Three brokers that die in turn while events flow: none is lost, none is applied twice or out of order (R19)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.runtime.jobs import Jobs
from tests.support.messaging import Line, line, until
from tributary.embedded.kafka import EmbeddedKafka

_AGGREGATES = 6


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path / "kafka", nodes=3)
    await kafka.start()
    yield kafka
    kafka.kill()


@pytest.fixture
async def wire(empty_database: str, cluster: EmbeddedKafka, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=cluster.bootstrap_servers, name=unique_name) as made:
        yield made


async def test_r19_brokers_die_in_turn_and_every_event_takes_effect_once_in_order(
    wire: Line, cluster: EmbeddedKafka, request: pytest.FixtureRequest
) -> None:
    turns = 9 if request.config.getoption("--run-long") else 2
    stop, enough = asyncio.Event(), asyncio.Event()
    relay, inbox = wire.relay(), wire.inbox()
    jobs = {"relay": lambda: relay.run(stop), "inbox": lambda: inbox.run(stop)}
    working = asyncio.create_task(Jobs().supervise(jobs, stop=stop))

    async def publish() -> int:
        rounds = 0
        while not enough.is_set():
            await wire.publish([wire.happened(thing_id=f"t{k}", n=rounds) for k in range(_AGGREGATES)])
            rounds += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), 0.02)
        return rounds

    publishing = asyncio.create_task(publish())
    for turn in range(turns):
        node = cluster.nodes[turn % 3]
        await asyncio.sleep(1)
        assert node.process is not None
        node.process.kill()
        node.process.wait(60)
        await asyncio.sleep(4)
        cluster.start_node(node)
        await asyncio.sleep(4)
    enough.set()
    rounds = await publishing

    async def all_came() -> bool:
        return len(await wire.effects()) >= rounds * _AGGREGATES

    await until(all_came, within_s=90)
    stop.set()
    await asyncio.wait_for(working, 60)
    done = defaultdict(list)
    for subject, n in await wire.effects():
        done[subject].append(n)
    assert dict(done) == {f"t{k}": list(range(rounds)) for k in range(_AGGREGATES)}
    assert await wire.parked() == []
