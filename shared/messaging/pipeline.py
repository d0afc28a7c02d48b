"""What a service's worker process runs: relay, inbox, sealer and timers, each restarted when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from shared.events.audit import AuditSealed
from shared.events.topics import topics_of
from shared.messaging.applying import Handlers
from shared.messaging.backlog import show_backlog
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import Kafka, explained
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.messaging.retention import archive
from shared.runtime.jobs import Job, Jobs
from shared.runtime.settings import Settings
from shared.runtime.timers import run_every
from shared.storage.audit import PAGE, Seal, seal
from shared.storage.database import Database, Transaction

# Each seal publishes a head: seldom enough that the heads are few beside the business.
_SEAL_EVERY_S, _SHOW_EVERY_S, _ARCHIVE_EVERY_S = 3.0, 5.0, 3600.0


@dataclass(frozen=True, slots=True)
class Timer:
    """Something a service does by itself, every so many seconds; several workers may do it at once.

    `signal` returns, of the database's URL, what this process sets when there is something to do at once.
    """

    every_s: float
    tick: Callable[[Database], Awaitable[object]]
    signal: Callable[[str], asyncio.Event] | None = None


async def run_worker(
    service: str,
    *,
    settings: Settings,
    stop: asyncio.Event,
    handlers: Handlers | None = None,
    topics: Sequence[str] = (),
    timers: Mapping[str, Timer] | None = None,
) -> None:
    """Publish what the service's outbox holds, consume the topics, seal the audit log and tick, until stopped.

    The worker counts as ready once its relay and its inbox have been up.
    """
    database = Database(settings.database(service), pool_size=5)
    kafka = Kafka.of(settings)
    jobs: dict[str, Job] = {}
    if topics_of(service):
        relay = Relay(database, kafka=kafka, service=service)
        jobs["relay"] = partial(_explained, kafka, partial(relay.run, stop))
        jobs["sealer"] = partial(
            run_every, _SEAL_EVERY_S, partial(seal_all, database, service=service, owner=relay.owner), stop=stop
        )
        if settings.outbox_retention_days:
            ageing = partial(archive_all, database, days=settings.outbox_retention_days, owner=relay.owner)
            jobs["retention"] = partial(run_every, _ARCHIVE_EVERY_S, ageing, stop=stop)
    if topics:
        inbox = Inbox(database, kafka=kafka, service=service, handlers=handlers or {}, topics=topics)
        jobs["inbox"] = partial(_explained, kafka, partial(inbox.run, stop))
    for name, timer in (timers or {}).items():
        woken = timer.signal(database.url) if timer.signal else None
        jobs[name] = partial(run_every, timer.every_s, partial(timer.tick, database), stop=stop, woken=woken)
    jobs["backlog"] = partial(run_every, _SHOW_EVERY_S, partial(show_backlog, database, service=service), stop=stop)
    named = {f"{service}/{name}": job for name, job in jobs.items()}
    awaited = named.keys() & {f"{service}/relay", f"{service}/inbox"}
    try:
        await Jobs().supervise(named, stop=stop, awaited=awaited)
    finally:
        await database.close()


async def seal_all(database: Database, *, service: str, owner: str) -> None:
    """Seal the audit log up to now, and publish its head on the service's audit topic."""

    async def publish(tx: Transaction, head: Seal) -> None:
        said = AuditSealed(service=service, number=head.number, position=head.position, digest=head.digest)
        await append(tx, [said], source=service)

    while await seal(database, owner=owner, publish=publish) == PAGE:
        pass


async def archive_all(database: Database, *, days: int, owner: str) -> None:
    """Archive, page by page, what is older than so many days."""
    while await archive(database, days=days, owner=owner):
        pass


async def _explained(kafka: Kafka, job: Job) -> None:
    async with explained(kafka):
        await job()
