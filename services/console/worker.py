"""Console's background work: it consumes every topic and publishes nothing."""

from __future__ import annotations

import asyncio

from services.console.consumers import HANDLERS
from shared.events.topics import TOPICS
from shared.messaging.inbox import Inbox
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.storage.database import Database

NAME = "console"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Consume until stopped."""
    database = Database(settings.database(NAME), pool_size=2)
    inbox = Inbox(
        database,
        bootstrap_servers=settings.bootstrap_servers,
        service=NAME,
        handlers=HANDLERS,
        topics=list(TOPICS),
    )
    try:
        await Jobs().supervise({"console/inbox": lambda: inbox.run(stop)}, stop=stop)
    finally:
        await database.close()
