"""Credit's background work: it publishes, it consumes, it lets holds expire."""

from __future__ import annotations

import asyncio

from services.credit.consumers import HANDLERS, TOPICS
from services.credit.timers import TIMERS
from shared.messaging.pipeline import run_worker
from shared.runtime.settings import Settings

NAME = "credit"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Consume, publish and let holds expire until stopped."""
    await run_worker(NAME, settings=settings, stop=stop, handlers=HANDLERS, topics=TOPICS, timers=TIMERS)
