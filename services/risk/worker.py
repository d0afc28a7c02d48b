"""Risk's background work: it publishes; so far it consumes nothing."""

from __future__ import annotations

import asyncio

from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.runtime.timers import run_every
from shared.storage.audit import seal
from shared.storage.database import Database

NAME = "risk"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Relay and seal until stopped."""
    database = Database(settings.database(NAME), pool_size=2)
    relay = Relay(database, bootstrap_servers=settings.bootstrap_servers, service=NAME)
    try:
        await Jobs().supervise(
            {
                "risk/relay": lambda: relay.run(stop),
                "risk/sealer": lambda: run_every(1, lambda: seal(database, owner=relay.owner), stop=stop),
            },
            stop=stop,
        )
    finally:
        await database.close()
