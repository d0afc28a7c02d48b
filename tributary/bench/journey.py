"""Drawdowns a second carried through every service, from hold to utilised, all processes on this machine.

The load keeps a bounded number of drawdowns on their way: when the services behind fall back, it waits for them. After
it: the same holds with nobody to carry them on (every worker stopped), which is the limit of the hot path.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from shared.runtime.settings import Settings
from shared.storage.database import Database
from tributary.bench.cpu import cpu_seconds
from tributary.bench.load import Load, drive
from tributary.bench.machine import machine
from tributary.bench.open_market import PRINCIPAL_MINOR, OpenMarket, open_market
from tributary.platform import Platform, running_platform
from tributary.services import SERVICES

CLIENTS = 32
_DOCUMENTS = 80_000
_ON_THEIR_WAY = 400
_WARM_UP_S, _ROUND_S, _ALONE_S, _ALONE = 5.0, 60.0, 2.0, 3
_LOOK_S = 0.1
# The programme's node has them all, and every drawdown is of the same amount.
_ARRIVED = """SELECT max(utilised_minor) / $1 AS arrived, max(held_minor + utilised_minor) / $1 AS held
FROM limit_node"""


class Journey:
    """What is on its way: sent and not yet utilised, by what credit's own database says every moment."""

    def __init__(self, market: OpenMarket, database: Database) -> None:
        """Start with nothing on its way."""
        self.arrived = 0
        self.held = 0
        self.longest_way = 0
        self.bounded = True
        self._sent = 0
        self._market = market
        self._database = database

    def next_request(self) -> bytes | None:
        """Return the next drawdown, or None while enough are on their way."""
        if self.bounded and self._sent - self.arrived >= _ON_THEIR_WAY:
            return None
        self._sent += 1
        return self._market.next_request()

    async def look(self) -> None:
        """Read how far they have come."""
        async with self._database.reader() as tx:
            row = await tx.pg.fetchrow(_ARRIVED, PRINCIPAL_MINOR)
        self.arrived, self.held = (row["arrived"], row["held"]) if row else (0, 0)
        self.longest_way = max(self.longest_way, self.held - self.arrived)

    async def caught_up(self) -> None:
        """Wait until everything that was held is utilised."""
        async with asyncio.timeout(180):
            while self.arrived < self.held or self.held < self._sent:
                await self.look()
                await asyncio.sleep(_LOOK_S)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look every moment while the block runs."""

        async def watch() -> None:
            while True:
                await self.look()
                await asyncio.sleep(_LOOK_S)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def measure(home: Path) -> dict[str, Any]:
    """Return drawdowns a second to their end, events and processor time a drawdown, and holds alone as the limit."""
    settings = Settings().model_copy(update={"home": home, "port": 0})
    async with running_platform(settings, processes=True) as platform:
        database = Database(platform.settings.database("credit"), pool_size=1)
        try:
            market = await open_market(platform, documents=_DOCUMENTS)
            await _until_known(database)
            return await _measure(platform, Journey(market, database))
        finally:
            await database.close()


async def _measure(platform: Platform, journey: Journey) -> dict[str, Any]:
    port = next(each.port for each in platform.others if (each.service, each.kind) == ("credit", "serve"))
    await _carried(journey, port, _WARM_UP_S)
    await journey.caught_up()
    before, began_at, events = cpu_seconds(platform), journey.arrived, -await _events(platform)
    load, rate = await _carried(journey, port, _ROUND_S)
    await journey.caught_up()
    cpu = {name: seconds - before[name] for name, seconds in cpu_seconds(platform).items()}
    carried, longest = journey.arrived - began_at, journey.longest_way
    events += await _events(platform)
    alone = [(await _alone(platform, journey, port)).per_second for _ in range(_ALONE)]
    return {
        "figure": "journey",
        "value": round(rate),
        "unit": f"drawdowns/s from hold to utilised, for {_ROUND_S:.0f} s",
        "baseline": round(median(alone)),
        "baseline_name": "holds a second of the same API with every worker stopped: nobody carries them on",
        "ratio": round(rate / median(alone), 3),
        "p50_ms": round(load.percentile_ms(0.50), 2),
        "p99_ms": round(load.percentile_ms(0.99), 2),
        "latency_of": "the hold's answer",
        "machine": machine(),
        "baseline_rounds": [round(each) for each in alone],
        "most_on_their_way": longest,
        "carried": carried,
        "events_per_drawdown": round(events / carried, 2),
        "cpu_ms_per_drawdown": round(1000 * sum(cpu.values()) / carried, 3),
        "cpu_ms_by_part": {
            name: round(1000 * seconds / carried, 3) for name, seconds in sorted(cpu.items(), key=lambda each: -each[1])
        },
    }


async def _carried(journey: Journey, port: int, seconds: float) -> tuple[Load, float]:
    """Draw for some seconds with the way bounded; return the load and how many a second came to their end."""
    clock = asyncio.get_running_loop().time
    await journey.look()
    began, arrived, journey.longest_way = clock(), journey.arrived, 0
    async with journey.watched():
        load = await _drive(journey, port, seconds)
    await journey.look()
    return load, (journey.arrived - arrived) / (clock() - began)


async def _alone(platform: Platform, journey: Journey, port: int) -> Load:
    """Draw for some seconds while every worker stands still; then let them catch up."""
    workers = [each.running for each in platform.others if each.kind == "work" and each.running is not None]
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    journey.bounded = False
    try:
        load = await _drive(journey, port, _ALONE_S)
    finally:
        journey.bounded = True
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
    await journey.caught_up()
    return load


async def _drive(journey: Journey, port: int, seconds: float) -> Load:
    load = await drive(host="127.0.0.1", port=port, clients=CLIENTS, seconds=seconds, next_request=journey.next_request)
    if set(load.statuses) - {201}:
        message = f"drawdowns were answered {dict(load.statuses)}"
        raise RuntimeError(message)
    return load


async def _events(platform: Platform) -> int:
    """Return how many events all services have published or will."""
    many = 0
    for service in SERVICES:
        database = Database(platform.settings.database(service), pool_size=1)
        try:
            async with database.reader() as tx:
                many += await tx.pg.fetchval("SELECT count(*) FROM outbox")
        finally:
            await database.close()
    return many


async def _until_known(database: Database) -> None:
    """Wait until credit has heard of every confirmed invoice."""
    async with asyncio.timeout(180):
        while True:
            async with database.reader() as tx:
                if await tx.pg.fetchval("SELECT count(*) FROM document WHERE state = 'confirmed'") >= _DOCUMENTS:
                    return
            await asyncio.sleep(_LOOK_S)
