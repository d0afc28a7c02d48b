"""The whole platform behind one origin: servers, databases, topics, six APIs, six workers.

In one process, or each service's API and worker in processes of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from services.onboarding.operations.identities import ensure_administrator
from shared.messaging.kafka import Kafka, ensure_topics
from shared.runtime.settings import Settings
from shared.runtime.spans import exporting_spans
from shared.storage.database import Database, ensure_database, migrate
from shared.web.issuer import Issuer
from shared.web.serving import ServiceApp, listen
from tributary.addresses import Addresses, remove_addresses, write_addresses
from tributary.embedded.servers import EmbeddedServers
from tributary.front import front
from tributary.gateway import Gateway
from tributary.processes import Process, processes_of, running
from tributary.running import serving, working
from tributary.services import SERVICES, builds, works

_WATCH_S, _REVIVE_S, _LONGEST_REVIVE_S = 0.5, 1.0, 30.0
_log = structlog.get_logger()


@dataclass
class Platform:
    """A running platform."""

    origin: str
    settings: Settings
    servers: EmbeddedServers
    others: Sequence[Process] = ()

    @property
    def processes(self) -> int:
        """Return in how many operating-system processes the services run."""
        return len(self.others) or 1

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
async def running_platform(
    settings: Settings, *, durable: bool = True, processes: bool = False
) -> AsyncIterator[Platform]:
    """Run the platform while the block runs; PortTaken or DataFolderInUse when another one is in the way."""
    listener = listen(host=settings.host, port=settings.port)
    with contextlib.closing(listener), exporting_spans():
        async with _servers(settings, durable=durable) as (found, servers):
            port = int(listener.getsockname()[1])
            ready_settings = found.model_copy(update={"port": port})
            await prepare(ready_settings, services=SERVICES)
            host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
            platform = Platform(f"http://{host}:{port}", ready_settings, servers)
            # The reverse order at the end: HTTP stops first, then the workers, then the servers.
            async with _in_processes(platform, listener) if processes else _in_this_process(platform, listener):
                _write_addresses(platform)
                try:
                    yield platform
                finally:
                    remove_addresses(settings.home)


@asynccontextmanager
async def _in_this_process(platform: Platform, listener: socket.socket) -> AsyncIterator[None]:
    workers = works()
    apps = {name: build(platform.settings) for name, build in builds().items()}
    async with working(workers, platform.settings), serving(apps, listener, fallback=front(apps)):
        yield


@asynccontextmanager
async def _in_processes(platform: Platform, listener: socket.socket) -> AsyncIterator[None]:
    """Run a process for each API and each worker; this one keeps them running and forwards to them."""
    made = processes_of(platform.settings)
    platform.others = made
    # Never served from here: only their descriptions are shown.
    apps = {name: build(platform.settings) for name, build in builds().items()}
    gateway = Gateway({each.service: each.port for each in made if each.kind == "serve"})
    forwards = {name: ServiceApp(name, app.fastapi, gateway.app(), [app.aclose]) for name, app in apps.items()}
    async with running(made), serving(forwards, listener, fallback=front(apps)):
        try:
            yield
        finally:
            await gateway.aclose()


async def prepare(settings: Settings, *, services: Iterable[str]) -> None:
    """Create what is missing: the key that signs tokens, databases, their newest tables, topics."""
    Issuer(home=settings.home, issuer=settings.issuer, audience=settings.audience)
    for service in services:
        url = await ensure_database(server_url=settings.server_url, service=service)
        await migrate(url=url, package=f"services.{service}")
    await _make_administrator(settings)
    await ensure_topics(Kafka.of(settings))


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


def _write_addresses(platform: Platform) -> None:
    servers = platform.servers
    addresses = Addresses(
        origin=platform.origin,
        database_url=servers.database_url if servers.with_postgres else "",
        bootstrap_servers=servers.bootstrap_servers if servers.with_kafka else "",
        pid=os.getpid(),
    )
    write_addresses(platform.settings.home, addresses)
