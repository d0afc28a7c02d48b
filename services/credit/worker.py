"""Credit's background work: it publishes, it consumes, it lets holds expire."""

from __future__ import annotations

import asyncio
from functools import partial

from services.credit.consumers import HANDLERS, TOPICS
from services.credit.timers import EVERY_S, TIMERS
from shared.messaging.inbox import Inbox
from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
from shared.runtime.settings import Settings
from shared.runtime.timers import run_every
from shared.storage.audit import seal
from shared.storage.database import Database

NAME = "credit"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Relay, consume, seal and tick until stopped."""
    database = Database(settings.database(NAME), pool_size=5)
    bootstrap = settings.bootstrap_servers
    relay = Relay(database, bootstrap_servers=bootstrap, service=NAME)
    inbox = Inbox(database, bootstrap_servers=bootstrap, service=NAME, handlers=HANDLERS, topics=TOPICS)
    jobs = {
        "credit/relay": lambda: relay.run(stop),
        "credit/inbox": lambda: inbox.run(stop),
        "credit/sealer": lambda: run_every(1, lambda: seal(database, owner=relay.owner), stop=stop),
    }
    timers = {name: partial(run_every, EVERY_S, partial(tick, database), stop=stop) for name, tick in TIMERS.items()}
    try:
        await Jobs().supervise({**jobs, **timers}, stop=stop)
    finally:
        await database.close()
