"""The platform with each service in a process of its own, behind one address for the story's client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import httpx

from tributary.embedded.processes import free_ports, spawn, stop
from tributary.embedded.servers import EmbeddedServers
from tributary.platform import prepare
from tributary.services import SERVICES

if TYPE_CHECKING:
    from shared.runtime.settings import Settings

_READY_WITHIN_S = 60.0
_POLL_S = 0.05
_STOP_S = 4.0
_ROOT = Path(__file__).resolve().parents[2]


class ServiceEnded(RuntimeError):
    """A service's process ended before it was ready."""

    code: ClassVar[str] = "service_ended"

    def __init__(self, *, name: str, log: Path) -> None:
        """Keep which, and the end of its log."""
        self.name = name
        said = log.read_text(encoding="utf-8", errors="replace")[-800:]
        super().__init__(f"The process of {name} ended: {said}")


class ByService(httpx.AsyncBaseTransport):
    """Sends each request to its service's process, by the first segment of its path."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        """Know each service's port."""
        self._ports = dict(ports)
        self._inner = httpx.AsyncHTTPTransport()

    @property
    def count(self) -> int:
        """Return how many processes there are."""
        return len(self._ports)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        service = request.url.path.split("/", 2)[1]
        request.url = request.url.copy_with(port=self._ports[service])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


@asynccontextmanager
async def separate_processes(settings: Settings, *, durable: bool) -> AsyncIterator[tuple[Settings, ByService]]:
    """Run the servers and one process a service while the block runs; yield their settings and the way to them."""
    servers = EmbeddedServers(
        settings.home,
        durable=durable,
        with_postgres=not settings.server_url,
        with_kafka=not settings.bootstrap_servers,
    )
    async with servers:
        found = settings.model_copy(
            update={
                "home": settings.home.absolute(),
                "server_url": settings.server_url or servers.database_url,
                "bootstrap_servers": settings.bootstrap_servers or servers.bootstrap_servers,
            }
        )
        await prepare(found, services=SERVICES)
        ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        running = {name: _start(name, port, found) for name, port in ports.items()}
        transport = ByService(ports)
        try:
            await _all_ready(transport, running, found.home)
            yield found, transport
        finally:
            await asyncio.gather(*(asyncio.to_thread(_end, process) for process in running.values()))


def _start(name: str, port: int, settings: Settings) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "DATABASE_URL": settings.server_url,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TRIBUTARY_HOME": str(settings.home),
        "TRIBUTARY_PORT": str(port),
        "TRIBUTARY_RAIL_TIMEOUT_SECONDS": str(settings.rail_timeout_seconds),
    }
    command = [sys.executable, "-m", "tributary.demo.one_service", name]
    return spawn(command, log=_log(settings.home, name), env=env)


def _log(home: Path, name: str) -> Path:
    return home / f"{name}.log"


def _end(process: subprocess.Popen[bytes]) -> None:
    stop(process, sign=signal.SIGTERM, timeout_s=_STOP_S)


async def _all_ready(transport: ByService, running: Mapping[str, subprocess.Popen[bytes]], home: Path) -> None:
    async with asyncio.timeout(_READY_WITHIN_S):
        for name, process in running.items():
            while not await _ready(transport, name):
                if process.poll() is not None:
                    raise ServiceEnded(name=name, log=_log(home, name))
                await asyncio.sleep(_POLL_S)


async def _ready(transport: ByService, name: str) -> bool:
    request = httpx.Request("GET", f"http://127.0.0.1/{name}/v1/health/ready")
    try:
        answer = await transport.handle_async_request(request)
        await answer.aclose()
    except httpx.TransportError:
        return False
    return answer.is_success
