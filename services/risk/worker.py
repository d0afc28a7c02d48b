"""Risk's background work: it publishes; so far it consumes nothing."""

from __future__ import annotations

import asyncio

from shared.messaging.pipeline import run_worker
from shared.runtime.settings import Settings

NAME = "risk"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Publish until stopped."""
    await run_worker(NAME, settings=settings, stop=stop)
