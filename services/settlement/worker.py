"""Settlement's background work: it hears credit and onboarding, publishes, and moves payments along."""

from __future__ import annotations

import asyncio

from services.settlement.consumers import HANDLERS, TOPICS
from services.settlement.timers import timers
from shared.messaging.pipeline import run_worker
from shared.runtime.settings import Settings

NAME = "settlement"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Consume, publish and move payments until stopped."""
    ticks = timers(rail_timeout_s=settings.rail_timeout_seconds)
    await run_worker(NAME, settings=settings, stop=stop, handlers=HANDLERS, topics=TOPICS, timers=ticks)
