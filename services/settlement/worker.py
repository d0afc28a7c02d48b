"""Settlement's background work: it hears credit and onboarding, publishes, and moves payments along."""

from __future__ import annotations

import asyncio
from functools import partial

from services.settlement.consumers import HANDLERS, TOPICS
from services.settlement.timers import timers
from shared.messaging.inbox import Inbox
from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.runtime.timers import run_every
from shared.storage.audit import seal
from shared.storage.database import Database

NAME = "settlement"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Consume, relay, seal and move payments until stopped."""
    database = Database(settings.database(NAME), pool_size=5)
    relay = Relay(database, bootstrap_servers=settings.bootstrap_servers, service=NAME)
    inbox = Inbox(
        database, bootstrap_servers=settings.bootstrap_servers, service=NAME, handlers=HANDLERS, topics=TOPICS
    )
    ticks = timers(database, rail_timeout_s=settings.rail_timeout_seconds)
    try:
        await Jobs().supervise(
            {
                "settlement/relay": lambda: relay.run(stop),
                "settlement/inbox": lambda: inbox.run(stop),
                "settlement/sealer": lambda: run_every(1, lambda: seal(database, owner=relay.owner), stop=stop),
                **{name: partial(run_every, seconds, tick, stop=stop) for name, (seconds, tick) in ticks.items()},
            },
            stop=stop,
        )
    finally:
        await database.close()
