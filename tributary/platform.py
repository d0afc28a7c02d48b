"""The whole platform in one process: servers, databases, topics, six HTTP apps on one origin, six workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from services.onboarding.operations.identities import ensure_administrator
from shared.messaging.kafka import ensure_topics
from shared.runtime.jobs import Jobs
from shared.runtime.offload import close_offload
from shared.runtime.settings import Settings
from shared.storage.database import Database, ensure_database, migrate
from shared.web.serving import Composite, ServiceApp, listen, serve
from tributary.addresses import Addresses, remove_addresses, write_addresses
from tributary.embedded.servers import EmbeddedServers
from tributary.front import front
from tributary.services import Work, builds, works

_DRAIN_S = 0.5
_WORKERS_S, _CANCELLED_S = 1.0, 0.5
_WATCH_S, _REVIVE_S, _LONGEST_REVIVE_S = 0.5, 1.0, 30.0
_log = structlog.get_logger()


@dataclass
class Platform:
    """A running platform."""

    origin: str
    settings: Settings
    apps: Mapping[str, ServiceApp]
    servers: EmbeddedServers

    async def watch(self) -> None:
        """Return never: start an embedded server again that ended by itself, as an operator's supervisor would."""
        wait_s = _REVIVE_S
        while True:
            await asyncio.sleep(_WATCH_S)
            ended = self.servers.ended()
            if ended is None:
                continue
            _log.error("an embedded server ended by itself", server=ended, again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            await self.servers.revive()
            wait_s = min(wait_s * 2, _LONGEST_REVIVE_S)


@asynccontextmanager
async def running_platform(settings: Settings, *, durable: bool = True) -> AsyncIterator[Platform]:
    """Run the platform while the block runs; PortTaken or DataFolderInUse when another one is in the way."""
    apps_to_build, workers = builds(), works()
    listener = listen(host=settings.host, port=settings.port)
    with contextlib.closing(listener):
        async with _servers(settings, durable=durable) as (found, servers):
            port = int(listener.getsockname()[1])
            ready_settings = found.model_copy(update={"port": port})
            await prepare(ready_settings, services=sorted({*apps_to_build, *workers}))
            apps = {name: build(ready_settings) for name, build in apps_to_build.items()}
            host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
            platform = Platform(f"http://{host}:{port}", ready_settings, apps, servers)
            # The reverse order at the end: HTTP stops first, then the workers, then the servers.
            async with _workers(workers, ready_settings), _http(apps, listener):
                _write_addresses(platform)
                try:
                    yield platform
                finally:
                    remove_addresses(settings.home)


async def prepare(settings: Settings, *, services: Iterable[str]) -> None:
    """Create what is missing: databases, their newest tables, topics."""
    for service in services:
        url = await ensure_database(server_url=settings.server_url, service=service)
        await migrate(url=url, package=f"services.{service}")
    await _make_administrator(settings)
    await ensure_topics(bootstrap_servers=settings.bootstrap_servers)


async def _make_administrator(settings: Settings) -> None:
    """Make the first identity before anything is served, so that whoever waits for the platform can sign in."""
    database = Database(settings.database("onboarding"), pool_size=1)
    try:
        await ensure_administrator(database, home=settings.home)
    finally:
        await database.close()


@asynccontextmanager
async def _servers(settings: Settings, *, durable: bool) -> AsyncIterator[tuple[Settings, EmbeddedServers]]:
    """Start the servers that the environment does not name; the data folder has one owner in any case."""
    settings.home.mkdir(parents=True, exist_ok=True)
    servers = EmbeddedServers(
        settings.home,
        durable=durable,
        with_postgres=not settings.server_url,
        with_kafka=not settings.bootstrap_servers,
    )
    async with servers:
        found = {
            "server_url": settings.server_url or servers.database_url,
            "bootstrap_servers": settings.bootstrap_servers or servers.bootstrap_servers,
        }
        yield settings.model_copy(update=found), servers


@asynccontextmanager
async def _http(apps: Mapping[str, ServiceApp], listener: socket.socket) -> AsyncIterator[None]:
    """Serve; at the end: unready, streams closed, requests answered, batches drained, pools closed."""
    stop, ready = asyncio.Event(), asyncio.Event()
    origin = Composite(apps, fallback=front(apps))
    serving = asyncio.create_task(serve(origin, listener=listener, stop=stop, ready=ready), name="http")
    try:
        await asyncio.wait({serving, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield
    finally:
        for app in apps.values():
            app.fastapi.state.stopping = True
        stop.set()
        await serving
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await asyncio.gather(*(app.aclose() for app in apps.values()))


@asynccontextmanager
async def _workers(workers: Mapping[str, Work], settings: Settings) -> AsyncIterator[None]:
    """Run the workers, each restarted when it fails; at the end they have a second to finish."""
    stop = asyncio.Event()
    jobs = {f"{name}/worker": partial(work, settings, stop) for name, work in workers.items()}
    working = asyncio.create_task(Jobs().supervise(jobs, stop=stop), name="workers")
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait({working}, timeout=_WORKERS_S)
        working.cancel()
        # What is cancelled still closes its consumer and its pool; with the broker away that may hang.
        await asyncio.wait({working}, timeout=_CANCELLED_S)
        close_offload()


def _write_addresses(platform: Platform) -> None:
    servers = platform.servers
    addresses = Addresses(
        origin=platform.origin,
        database_url=servers.database_url if servers.with_postgres else "",
        bootstrap_servers=servers.bootstrap_servers if servers.with_kafka else "",
        pid=os.getpid(),
    )
    write_addresses(platform.settings.home, addresses)
