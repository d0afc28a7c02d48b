"""PostgreSQL is killed and comes back, the publisher's and the consumer's, while events flow (R19)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.report import Report
from tests.support.messaging import Line, Load, line, supervised, took_effect_once
from tributary.embedded.postgres import EmbeddedPostgres


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[dict[str, EmbeddedPostgres]]:
    made = {name: EmbeddedPostgres(tmp_path / name) for name in ("publisher", "consumer")}
    tmp_path.chmod(0o755)
    await asyncio.gather(*(server.start() for server in made.values()))
    yield made
    for server in made.values():
        server.kill()


@pytest.fixture
async def wire(servers: dict[str, EmbeddedPostgres], kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(
        url=servers["publisher"].url,
        bootstrap=kafka_bootstrap,
        name=unique_name,
        consumer_url=servers["consumer"].url,
    ) as made:
        yield made


async def _die_and_return(server: EmbeddedPostgres) -> None:
    """Kill the postmaster as the kernel does when memory runs out; its children end when they notice."""
    assert server.process is not None
    server.process.kill()
    server.process.wait(60)
    await asyncio.sleep(0.3)
    await server.start()


@pytest.mark.timeout(400)
async def test_r19_a_killed_database_loses_nothing_that_it_answered_and_repeats_no_effect(
    wire: Line, servers: dict[str, EmbeddedPostgres], request: pytest.FixtureRequest, report: Report
) -> None:
    turns = 12 if request.config.getoption("--run-long") else 1
    load = Load(wire, pause_s=0.002)
    inbox = wire.inbox()
    async with supervised(wire.name, relay=wire.relay().run, inbox=inbox.run) as jobs:
        async with load.going():
            for _ in range(turns):
                for name in ("publisher", "consumer"):
                    await asyncio.sleep(0.7)
                    await _die_and_return(servers[name])
            await asyncio.sleep(0.7)
        unheard = await took_effect_once(wire, load, within_s=90)
        assert jobs.problems == {}
    assert len(load.answered) > turns
    report.hit("copy skipped", inbox.duplicates)
    report.hit("unanswered, one effect", len(unheard))
    report.hit("unanswered, no effect", len(load.unanswered) - len(unheard))
