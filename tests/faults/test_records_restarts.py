"""Relay and inbox end and begin again every two seconds, by a stop or by a kill, while events flow (R19)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.faults.report import Report
from tests.support.messaging import Line, Load, line, running, took_effect_once


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


@pytest.mark.timeout(300)
async def test_r19_restarts_every_two_seconds_lose_nothing_and_repeat_nothing(
    wire: Line, request: pytest.FixtureRequest, report: Report
) -> None:
    turns, each_s = (40, 2.0) if request.config.getoption("--run-long") else (4, 0.8)
    load, copies = Load(wire, pause_s=0.002), 0
    async with load.going():
        for turn in range(turns):
            stop, inbox = asyncio.Event(), wire.inbox()
            tasks = [asyncio.create_task(run(stop)) for run in (wire.relay().run, inbox.run)]
            await asyncio.sleep(each_s)
            if turn % 2:
                stop.set()
            else:
                for task in tasks:
                    task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            copies += inbox.duplicates
    async with running(wire.relay().run, wire.inbox().run):
        await took_effect_once(wire, load)
    assert load.unanswered == []
    report.hit("copy skipped", copies)
    report.hit("restart under load", turns)
