"""Runs without chance in what happens, only in its order: what seeds once showed, kept as tests of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.properties.simulation import protocol_rows
from tests.properties.simulation.database import ModelDatabase
from tests.properties.simulation.events import SERVICE, Based
from tests.properties.simulation.invariants import check_healed, healed
from tests.properties.simulation.patches import model_in_place
from tests.properties.simulation.scenario import World


class Stage(World):
    """A world in which a test says what happens."""

    def play(self, story: Callable[[Stage], Awaitable[None]]) -> None:
        """Play a story; what it raises is the test's."""
        self.plan.rates.on = False

        async def played() -> None:
            await story(self)
            check_healed(self.publisher, self.consumer, self.broker)

        with model_in_place():
            self.loop.run(played())

    async def publish(self, *subjects: str) -> None:
        database: Any = ModelDatabase(self.publisher, url="story")
        async with database.transaction() as tx:
            await protocol_rows.append(tx, [Based(base_id=subject) for subject in subjects], source=SERVICE)

    async def until_healed(self, *, within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while not healed(self.publisher, self.consumer, self.broker):
                await asyncio.sleep(0.1)


async def late_commits(stage: Stage) -> None:
    """Let transactions stay open for up to half a second while others commit, and their aggregates go on after them."""
    stage.start("relay")
    stage.start("inbox")
    for _ in range(4):
        slow: Any = ModelDatabase(stage.publisher, url="slow")
        async with slow.transaction() as tx:
            await protocol_rows.append(tx, [Based(base_id="b0")], source=SERVICE)
            await stage.publish("b1")
            await asyncio.sleep(stage.random.random() * 0.5)
            await stage.publish("b1")
            await asyncio.sleep(stage.random.random() * 0.1)
        await stage.publish("b0")
        await asyncio.sleep(stage.random.random())
    await stage.until_healed()
