"""Receivables' background work: it hears onboarding, credit and settlement, and publishes."""

from __future__ import annotations

import asyncio

from services.receivables.consumers import TOPICS, handlers
from shared.messaging.inbox import Inbox
from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.runtime.timers import run_every
from shared.storage.audit import seal
from shared.storage.database import Database

NAME = "receivables"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Consume, relay and seal until stopped."""
    database = Database(settings.database(NAME), pool_size=4)
    relay = Relay(database, bootstrap_servers=settings.bootstrap_servers, service=NAME)
    inbox = Inbox(
        database,
        bootstrap_servers=settings.bootstrap_servers,
        service=NAME,
        handlers=handlers(settings),
        topics=TOPICS,
    )
    try:
        await Jobs().supervise(
            {
                "receivables/relay": lambda: relay.run(stop),
                "receivables/inbox": lambda: inbox.run(stop),
                "receivables/sealer": lambda: run_every(1, lambda: seal(database, owner=relay.owner), stop=stop),
            },
            stop=stop,
        )
    finally:
        await database.close()
