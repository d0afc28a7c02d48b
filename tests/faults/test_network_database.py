"""The network between us and PostgreSQL: a commit whose answer is lost happened once or not at all (R19, R25)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared.runtime import failpoints
from shared.storage.database import Database
from tests.faults.proxy import Mode, Proxy
from tests.faults.report import Report
from tests.support.messaging import Line, Load, line, supervised, took_effect_once

_TROUBLES = [Mode.ANSWERS_LOST, Mode.RESET, Mode.SLOW, Mode.BLACK_HOLE, Mode.REQUESTS_LOST]
_PATIENCE_S = 0.6


@pytest.fixture
async def network(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy().listening() as proxy:
        proxy.target_port = urlsplit(postgres_url).port or 0
        yield proxy


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


@asynccontextmanager
async def _through(network: Proxy, wire: Line, *, answer_within_s: float = 60) -> AsyncIterator[Line]:
    """Yield the same line as a publisher, a relay and an inbox see it who reach PostgreSQL through the proxy."""
    far = copy(wire)
    url = urlunsplit(urlsplit(wire.database.url)._replace(netloc=f"postgres@127.0.0.1:{network.port}"))
    far.database = far.consumer = Database(url, pool_size=6, answer_within_s=answer_within_s)
    yield far
    await far.database.close()


@pytest.mark.timeout(300)
async def test_r19_a_commit_whose_answer_is_lost_takes_effect_once_or_not_at_all(
    wire: Line, network: Proxy, request: pytest.FixtureRequest, report: Report
) -> None:
    rounds, trouble_s = (4, 8.0) if request.config.getoption("--run-long") else (1, 0.8)
    async with (
        _through(network, wire) as far,
        supervised(wire.name, relay=far.relay().run, inbox=far.inbox().run) as jobs,
    ):
        load = Load(far, patience_s=_PATIENCE_S, pause_s=0.005)
        async with load.going():
            for mode in _TROUBLES * rounds:
                await asyncio.sleep(0.5)
                network.become(mode)
                await asyncio.sleep(trouble_s)
                network.become(Mode.PASS)
        await load.publish_once()
        unheard = await took_effect_once(wire, load, within_s=90)
        assert jobs.problems == {}
    assert load.unanswered
    report.hit("unanswered, one effect", len(unheard))
    report.hit("unanswered, no effect", len(load.unanswered) - len(unheard))


@pytest.mark.parametrize("place", ["transaction.done", "inbox.applied", "relay.acked"])
async def test_r19_a_commit_that_nobody_hears_of_is_found_done(
    wire: Line, network: Proxy, report: Report, place: str
) -> None:
    loop = asyncio.get_running_loop()
    fallen: list[str] = []

    def fall_silent(name: str) -> None:
        report.reached("in the test", name)
        if name == place and not fallen:
            fallen.append(name)
            network.become(Mode.ANSWERS_LOST)
            loop.call_later(0.5, network.become, Mode.PASS)

    async with _through(network, wire) as far:
        load = Load(far)
        await load.publish_once()
        failpoints.hook(fall_silent)
        if place == "transaction.done":
            await load.publish_once()
            assert load.unanswered == [1]
        async with supervised(wire.name, relay=far.relay().run, inbox=far.inbox().run):
            unheard = await took_effect_once(wire, load)
    assert fallen
    assert unheard == load.unanswered
    report.hit("unanswered, one effect", len(unheard))


async def test_r25_a_server_that_vanished_without_a_word_is_given_up_in_time(
    wire: Line, network: Proxy, request: pytest.FixtureRequest
) -> None:
    # A minute in production: no statement of ours takes that long.
    async with (
        _through(network, wire, answer_within_s=1.5) as far,
        supervised(wire.name, relay=far.relay().run, inbox=far.inbox().run),
    ):
        load = Load(far, patience_s=_PATIENCE_S)
        for _ in range(4 if request.config.getoption("--run-long") else 1):
            async with load.going():
                await asyncio.sleep(0.7)
                # As after a fail-over: the address answers again, and the connections to the old server hang.
                network.forget()
                await asyncio.sleep(0.7)
            await took_effect_once(wire, load, within_s=60)
