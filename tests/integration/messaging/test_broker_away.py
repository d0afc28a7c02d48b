"""The broker goes away and comes back: commands go on, effects catch up, in order and once (R19, R25)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.runtime.jobs import Jobs, down_for_good
from shared.web.health import broker_state
from tests.support.messaging import Line, line, until
from tributary.embedded.kafka import EmbeddedKafka

_AWAY_S = 6


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path / "kafka")
    await kafka.start()
    yield kafka
    kafka.kill()


@pytest.fixture
async def wire(empty_database: str, broker: EmbeddedKafka, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=broker.bootstrap_servers, name=unique_name) as made:
        yield made


async def test_r19_commands_go_on_without_the_broker_and_effects_catch_up_in_order_when_it_is_back(
    wire: Line, broker: EmbeddedKafka
) -> None:
    relay, inbox, stop = wire.relay(), wire.inbox(), asyncio.Event()
    jobs = {f"{wire.name}/relay": lambda: relay.run(stop), f"{wire.name}/inbox": lambda: inbox.run(stop)}
    working = asyncio.create_task(Jobs().supervise(jobs, stop=stop))

    async def publish(rounds: range) -> None:
        for n in rounds:
            await wire.publish([wire.happened(thing_id=f"t{k}", n=n) for k in range(5)])

    async def effects_are(count: int) -> bool:
        return len(await wire.effects()) == count

    await publish(range(20))
    await until(lambda: effects_are(100))
    # In the middle of sending: what was acknowledged, and what only got lost on the way, must not come twice.
    publishing = asyncio.create_task(publish(range(20, 60)))
    await asyncio.sleep(0.05)
    broker.kill()
    await asyncio.wait_for(publishing, 60)
    await publish(range(60, 80))
    # Longer than the relay's leases last.
    await asyncio.sleep(_AWAY_S)
    assert down_for_good(wire.name) == {}
    assert await broker_state(broker.bootstrap_servers) == "away"

    broker.start_node(broker.nodes[0])
    await until(lambda: effects_are(400), within_s=60)
    stop.set()
    await asyncio.wait_for(working, 60)

    done = defaultdict(list)
    for subject, n in await wire.effects():
        done[subject].append(n)
    assert dict(done) == {f"t{k}": list(range(80)) for k in range(5)}
    assert await wire.parked() == []
