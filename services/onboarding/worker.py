"""Onboarding's background work: it publishes; it consumes nothing."""

from __future__ import annotations

import asyncio

from services.onboarding.operations.identities import ensure_administrator
from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.runtime.timers import run_every
from shared.storage.audit import seal
from shared.storage.database import Database

NAME = "onboarding"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Relay and seal until stopped."""
    database = Database(settings.database(NAME), pool_size=3)
    relay = Relay(database, bootstrap_servers=settings.bootstrap_servers, service=NAME)
    try:
        await ensure_administrator(database, home=settings.home)
        await Jobs().supervise(
            {
                "onboarding/relay": lambda: relay.run(stop),
                "onboarding/sealer": lambda: run_every(1, lambda: seal(database, owner=relay.owner), stop=stop),
            },
            stop=stop,
        )
    finally:
        await database.close()
