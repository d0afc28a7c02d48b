"""Receivables' background work: it hears onboarding, credit and settlement, publishes, works uploads through."""

from __future__ import annotations

import asyncio

from services.receivables.consumers import TOPICS, handlers
from services.receivables.timers import timers
from shared.messaging.pipeline import run_worker
from shared.runtime.settings import Settings

NAME = "receivables"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Consume and publish until stopped."""
    await run_worker(
        NAME, settings=settings, stop=stop, handlers=handlers(settings), topics=TOPICS, timers=timers(settings)
    )
