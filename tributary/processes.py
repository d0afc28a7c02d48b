"""Every service in processes of its own, an API and a worker each, behind one origin on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import httpx
import structlog

from shared.runtime.settings import Settings
from tributary.embedded.processes import free_ports, spawn, stop
from tributary.services import SERVICES

Kind = Literal["serve", "work"]
_READY_WITHIN_S = 60.0
_POLL_S = 0.05
_STOP_S = 4.0
_AGAIN_S, _LONGEST_AGAIN_S, _WELL_AFTER_S = 0.5, 10.0, 30.0
_ROOT = Path(__file__).resolve().parents[1]
_log = structlog.get_logger()


class ServiceEnded(RuntimeError):
    """A service's process ended before it was ready."""

    code: ClassVar[str] = "service_ended"

    def __init__(self, *, name: str, log: Path) -> None:
        """Keep which, and the end of its log."""
        self.name = name
        said = log.read_text(encoding="utf-8", errors="replace")[-800:]
        super().__init__(f"The process of {name} ended: {said}")


@dataclass
class Process:
    """One operating-system process: a service's API or its worker; started again it has the same port."""

    service: str
    kind: Kind
    port: int
    log: Path
    env: Mapping[str, str] = field(repr=False)
    module: str = "tributary"
    running: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Return what logs and the operator call it."""
        return f"{self.service} {'API' if self.kind == 'serve' else 'worker'}"

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", self.module, self.kind, self.service]
        self.running = spawn(command, log=self.log, env={**self.env, "TRIBUTARY_PORT": str(self.port)})

    def ended(self) -> bool:
        """Return whether it ended."""
        return self.running is not None and self.running.poll() is not None

    def stop(self) -> None:
        """Ask it to stop, and kill it when it does not."""
        if self.running is not None:
            stop(self.running, sign=signal.SIGTERM, timeout_s=_STOP_S)

    async def ready(self, http: httpx.AsyncClient) -> bool:
        """Return whether it says that it is ready."""
        try:
            answer = await http.get(f"http://127.0.0.1:{self.port}/{self.service}/v1/health/ready")
        except httpx.TransportError:
            return False
        return answer.is_success


def processes_of(settings: Settings, *, services: tuple[str, ...] = SERVICES) -> list[Process]:
    """Return an API and a worker of each service on free ports; nothing is started."""
    env = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "DATABASE_URL": settings.server_url,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TRIBUTARY_HOME": str(settings.home.absolute()),
        "TRIBUTARY_HOST": "127.0.0.1",
        "TRIBUTARY_RAIL_TIMEOUT_SECONDS": str(settings.rail_timeout_seconds),
    }
    kinds: tuple[Kind, ...] = ("serve", "work")
    wanted = [(service, kind) for service in services for kind in kinds]
    logs = settings.home.absolute() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return [
        Process(service, kind, port, logs / f"{service}-{kind}.log", env)
        for (service, kind), port in zip(wanted, free_ports(len(wanted)), strict=True)
    ]


@asynccontextmanager
async def running(processes: list[Process]) -> AsyncIterator[None]:
    """Run the processes while the block runs, and start again what ends by itself; ServiceEnded if at the start."""
    for process in processes:
        process.start()
    try:
        await all_ready(processes)
        watching = [asyncio.create_task(_keep_running(process)) for process in processes]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    finally:
        await asyncio.gather(*(asyncio.to_thread(process.stop) for process in processes))


async def all_ready(processes: list[Process]) -> None:
    """Wait until every process is ready; ServiceEnded when one ends before."""
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(_READY_WITHIN_S):
        for process in processes:
            while not await process.ready(http):
                if process.ended():
                    raise ServiceEnded(name=process.name, log=process.log)
                await asyncio.sleep(_POLL_S)


async def _keep_running(process: Process) -> None:
    """Start a process again when it ended by itself, at longer and longer intervals while it keeps ending."""
    clock = asyncio.get_running_loop().time
    wait_s = _AGAIN_S
    while True:
        started = clock()
        while not process.ended():  # noqa: ASYNC110 - a process announces its end by no event of the loop
            await asyncio.sleep(_POLL_S)
        wait_s = _AGAIN_S if clock() - started > _WELL_AFTER_S else min(wait_s * 2, _LONGEST_AGAIN_S)
        _log.error("a process ended by itself", process=process.name, again_in_s=wait_s)
        await asyncio.sleep(wait_s)
        process.start()
