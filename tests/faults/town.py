"""A town: servers of its own, the services in armed processes or in this one, and how to speak to them.

What ends by itself is started again at once, as an orchestrator would.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer

from shared.events.envelope import Sent
from shared.events.topics import partition_of
from shared.messaging.kafka import Kafka
from shared.runtime.settings import Settings
from shared.web.issuer import Issuer
from shared.web.serving import listen
from tests.faults.armed import BOARD
from tests.faults.board import Board
from tests.faults.market import Market, open_market
from tributary.embedded.servers import EmbeddedServers
from tributary.front import front
from tributary.platform import prepare
from tributary.processes import Kind, Process, all_ready, processes_of
from tributary.running import serving, working
from tributary.services import SERVICES, builds, works

LIMIT_MINOR = 1_000_000_000_00
SECOND = " 2"
_WATCH_S = 0.02
_ANSWER_S = 8.0
_WAITING = "SELECT o.* FROM outbox o JOIN outbox_pending USING (position) WHERE subject = $1 AND sequence = $2"
Name = tuple[str, Kind]
ALL: tuple[Name, ...] = tuple((service, kind) for service in SERVICES for kind in ("serve", "work"))


@dataclass
class Armed:
    """A process with its board; its name tells twins apart."""

    name: str
    process: Process
    board: Board
    starts: int = 0
    held: bool = False

    def start(self) -> None:
        self.starts += 1
        self.process.start()

    def signal(self, sign: signal.Signals) -> None:
        """Send the process a signal."""
        assert self.process.running is not None
        self.process.running.send_signal(sign)


class _Streets(httpx.AsyncBaseTransport):
    """Leads a request to the service that its path names, to each replica in turn."""

    def __init__(self) -> None:
        self.ports: dict[str, Iterable[int]] = {}
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=100, keepalive_expiry=1))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        service = request.url.path.split("/")[1]
        request.url = request.url.copy_with(port=next(iter(self.ports[service])))
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass
class Town:
    """A running town."""

    settings: Settings
    http: httpx.AsyncClient
    armed: dict[str, Armed]
    market: Market = field(init=False)
    databases: dict[str, asyncpg.Pool[asyncpg.Record]] = field(default_factory=dict)

    @property
    def twins(self) -> list[Armed]:
        """Return the second processes of their kind."""
        return [each for each in self.armed.values() if each.name.endswith(SECOND)]

    async def ready(self) -> None:
        """Wait until every process that is not held back is ready."""
        while any(each.process.ended() for each in self.armed.values() if not each.held):
            await asyncio.sleep(_WATCH_S)
        await all_ready([each.process for each in self.armed.values() if not each.held])

    def hold(self, armed: Armed) -> None:
        """End a process, and start it only when it is let go."""
        armed.held = True
        _end(armed)

    def let_go(self, armed: Armed) -> None:
        """Start a process that was held back."""
        armed.held = False

    async def restart(self, armed: Armed) -> None:
        """Ask a process to stop; return when it has started again and is ready."""
        starts = armed.starts
        armed.signal(signal.SIGTERM)
        while armed.starts == starts:
            await asyncio.sleep(_WATCH_S)
        await self.ready()

    async def watch(self) -> None:
        """Start again what ended, for ever."""
        while True:
            for each in self.armed.values():
                if each.process.ended() and not each.held:
                    each.start()
            await asyncio.sleep(_WATCH_S)


@asynccontextmanager
async def town(
    folder: Path, *, apart: Sequence[Name] = (), twins: Sequence[Name] = (), limit_minor: int = LIMIT_MINOR
) -> AsyncIterator[Town]:
    """Run a town while the block runs: `apart` in processes of their own, `twins` in a second one, the rest here."""
    folder.chmod(0o755)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(EmbeddedServers(folder / "servers", durable=False))
        home = folder / "home"
        home.mkdir()
        settings = Settings.model_construct(
            server_url=servers.database_url,
            bootstrap_servers=servers.bootstrap_servers,
            home=home,
            host="127.0.0.1",
            port=0,
            issuer="tributary",
            audience="tributary",
            hold_seconds=600,
            rail_timeout_seconds=2.0,
        )
        await prepare(settings, services=SERVICES)
        streets = _Streets()
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=streets, base_url="http://127.0.0.1", timeout=_ANSWER_S)
        )
        made = Town(settings, http, _armed(settings, folder, [*apart, *twins]))
        await _run_here(stack, made, streets, [name for name in ALL if name not in apart])
        await _run_apart(stack, made, streets)
        for service in SERVICES:
            pool = asyncpg.create_pool(settings.database(service), min_size=1, max_size=3)
            made.databases[service] = await stack.enter_async_context(pool)
        issuer = Issuer(home=home, issuer=settings.issuer, audience=settings.audience)
        made.market = await open_market(http, issuer=issuer, limit_minor=limit_minor)
        yield made


def _armed(settings: Settings, folder: Path, names: Sequence[Name]) -> dict[str, Armed]:
    made: dict[str, Armed] = {}
    kinds: dict[Name, Process] = {}
    for service, kind in names:
        process = next(each for each in processes_of(settings, services=(service,)) if each.kind == kind)
        name = process.name + (SECOND if (service, kind) in kinds else "")
        kinds[service, kind] = process
        board = Board(folder / f"{name.replace(' ', '-')}.board")
        process.module, process.env = "tests.faults.armed", {**process.env, BOARD: str(board.path)}
        made[name] = Armed(name, process, board)
    return made


async def _run_here(stack: AsyncExitStack, town: Town, streets: _Streets, names: Sequence[Name]) -> None:
    listener = stack.enter_context(contextlib.closing(listen(host="127.0.0.1", port=0)))
    apps = {service: builds([service])[service](town.settings) for service, kind in names if kind == "serve"}
    streets.ports = {service: cycle([int(listener.getsockname()[1])]) for service in apps}
    await stack.enter_async_context(serving(apps, listener, fallback=front(apps)))
    await stack.enter_async_context(working(works(s for s, kind in names if kind == "work"), town.settings))


async def _run_apart(stack: AsyncExitStack, town: Town, streets: _Streets) -> None:
    ports: dict[str, list[int]] = defaultdict(list)
    for each in town.armed.values():
        each.start()
        stack.callback(_end, each)
        if each.process.kind == "serve":
            ports[each.process.service].append(each.process.port)
    streets.ports |= {service: cycle(found) for service, found in ports.items()}
    await town.ready()
    watching = asyncio.create_task(town.watch())
    stack.push_async_callback(_cancel, watching)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _end(armed: Armed) -> None:
    if armed.process.running is not None:
        armed.process.running.kill()
        armed.process.running.wait(60)


async def tell(town: Town, *, subject: str, sequence: int) -> None:
    """Put an event that still waits in credit's outbox into its topic, as a relay would when its turn came."""
    row = await town.databases["credit"].fetchrow(_WAITING, subject, sequence)
    assert row is not None
    names = ("id", "type", "source", "subject", "sequence", "time", "traceparent")
    sent = Sent(**{name: row[name] for name in names})
    async with AIOKafkaProducer(**Kafka.of(town.settings).options(), acks="all") as producer:
        await producer.send_and_wait(
            row["topic"],
            row["body"].encode(),
            key=subject.encode(),
            partition=partition_of(topic=row["topic"], subject=subject),
            headers=sent.headers(),
            timestamp_ms=int(sent.time.timestamp() * 1000),
        )
