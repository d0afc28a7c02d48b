"""Console's background work: it consumes every topic; of its own it publishes the heads of its audit log."""

from __future__ import annotations

import asyncio

from services.console.consumers import HANDLERS
from shared.events.topics import TOPICS
from shared.messaging.pipeline import run_worker
from shared.runtime.settings import Settings

NAME = "console"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until stopped."""
    await run_worker(NAME, settings=settings, stop=stop, handlers=HANDLERS, topics=list(TOPICS))
