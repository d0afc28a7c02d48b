"""Holds a second on one hot anchor over HTTP, beside a row-lock transaction a hold on the same database.

Then batches over HTTP beside 100 holds a transaction in bare SQL. What is compared runs in turn, several times; a
figure is the median of the rounds.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from typing import Any

from services.credit.main import NAME
from shared.messaging.kafka import Kafka, ensure_topics
from shared.runtime.settings import Settings
from shared.storage.database import Database, ensure_database, migrate
from tributary.bench import row_lock, set_wise
from tributary.bench.batches import BatchLoad, drive_batches
from tributary.bench.load import Load, drive
from tributary.bench.machine import machine
from tributary.bench.market import BATCH_ITEMS, Market, open_market
from tributary.bench.server import serving
from tributary.embedded.servers import EmbeddedServers

CLIENTS = 64
_ROUNDS, _ROUND_S, _WARM_UP_S, _TRIAL_S = 5, 4.0, 3.0, 1.0
_CLIENT_COUNTS = (1, 2, 4, 8, 16, 32)
_DOCUMENTS = 400_000
_CAUGHT_UP_WITHIN_S = 60
_BATCH_CONNECTIONS, _BATCHES_A_ROUND = 4, 24
_SET_WISE_CLIENT_COUNTS = (1, 2, 4)


async def measure(home: Path) -> dict[str, Any]:
    """Return the figure with its baseline, ratio and latencies; RuntimeError when any hold was not answered 201."""
    async with EmbeddedServers(home) as servers:
        found = {"server_url": servers.database_url, "bootstrap_servers": servers.bootstrap_servers, "home": home}
        settings = Settings().model_copy(update=found)
        url = await ensure_database(server_url=settings.server_url, service=NAME)
        await migrate(url=url, package=f"services.{NAME}")
        await ensure_topics(Kafka.of(settings))
        database = Database(url, pool_size=2)
        try:
            market = await open_market(
                database, settings=settings, documents=_DOCUMENTS, batches=(_ROUNDS + 1) * _BATCHES_A_ROUND
            )
            async with serving(settings, NAME) as (port, _):
                return await _measure(database, market, port=port)
        finally:
            await database.close()


async def _measure(database: Database, market: Market, *, port: int) -> dict[str, Any]:
    await _round(market, port, _WARM_UP_S)
    path = await _path(database, market)
    trials = {
        clients: (await row_lock.holds_per_second(url=database.url, path=path, clients=clients, seconds=_TRIAL_S))[0]
        for clients in _CLIENT_COUNTS
    }
    best = max(trials, key=lambda clients: trials[clients])
    loads, baselines = [], []
    for _ in range(_ROUNDS):
        loads.append(await _round(market, port, _ROUND_S))
        rate, _latencies = await row_lock.holds_per_second(url=database.url, path=path, clients=best, seconds=_ROUND_S)
        baselines.append(rate)
    relay_behind_s = await _relay_behind(database)
    batches = await _measure_batches(database, market, path, port=port)
    held = await _check(database)
    value, baseline = median(load.per_second for load in loads), median(baselines)
    return {
        "figure": "holds",
        "value": round(value),
        "unit": "holds/s",
        "baseline": round(baseline),
        "baseline_name": f"a row-lock transaction a hold through bare asyncpg, without HTTP, at {best} clients",
        "ratio": round(value / baseline, 2),
        "p50_ms": round(median(load.percentile_ms(0.50) for load in loads), 2),
        "p99_ms": round(median(load.percentile_ms(0.99) for load in loads), 2),
        "machine": machine(),
        "clients": CLIENTS,
        "rounds": [round(load.per_second) for load in loads],
        "baseline_rounds": [round(rate) for rate in baselines],
        "baseline_by_clients": {clients: round(rate) for clients, rate in trials.items()},
        "relay_behind_s": relay_behind_s,
        **batches,
        "held": held,
    }


async def _measure_batches(database: Database, market: Market, path: row_lock.Path, *, port: int) -> dict[str, Any]:
    await _batch_round(market, port)
    await _relay_behind(database)
    trials = {
        clients: await set_wise.holds_per_second(url=database.url, path=path, clients=clients, seconds=_TRIAL_S)
        for clients in _SET_WISE_CLIENT_COUNTS
    }
    best = max(trials, key=lambda clients: trials[clients])
    loads, baselines, behind = [], [], []
    for _ in range(_ROUNDS):
        loads.append(await _batch_round(market, port))
        # What the relay has not sent yet must not slow the baseline.
        behind.append(await _relay_behind(database))
        rate = await set_wise.holds_per_second(url=database.url, path=path, clients=best, seconds=_TRIAL_S)
        baselines.append(rate)
    value, baseline = median(load.per_second for load in loads), median(baselines)
    latencies = sorted(latency for load in loads for latency in load.latencies_s)
    return {
        "batch_per_second": round(value),
        "batch_baseline": round(baseline),
        "batch_baseline_name": f"{set_wise.HOLDS} holds a transaction in bare SQL, without HTTP, at {best} clients",
        "batch_ratio": round(value / baseline, 2),
        "batch_items": BATCH_ITEMS,
        "batch_connections": _BATCH_CONNECTIONS,
        "batch_p50_ms": round(1000 * median(latencies), 2),
        "batch_rounds": [round(load.per_second) for load in loads],
        "batch_baseline_rounds": [round(rate) for rate in baselines],
        "batch_baseline_by_clients": {clients: round(rate) for clients, rate in trials.items()},
        "batch_relay_behind_s": median(behind),
    }


async def _batch_round(market: Market, port: int) -> BatchLoad:
    batches = [market.next_batch() for _ in range(_BATCHES_A_ROUND)]
    load = await drive_batches(host="127.0.0.1", port=port, connections=_BATCH_CONNECTIONS, batches=batches)
    if load.refused or load.held != BATCH_ITEMS * _BATCHES_A_ROUND:
        message = f"{load.held} items were held, others answered {load.refused.most_common(3)}"
        raise RuntimeError(message)
    return load


async def _round(market: Market, port: int, seconds: float) -> Load:
    load = await drive(host="127.0.0.1", port=port, clients=CLIENTS, seconds=seconds, next_request=market.next_request)
    if set(load.statuses) != {201}:
        message = f"holds were answered {dict(load.statuses)}"
        raise RuntimeError(message)
    return load


async def _path(database: Database, market: Market) -> row_lock.Path:
    """Return the nodes of one measured hold, for the baseline to lock."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow("SELECT line_id, enterprise_id, path, documents FROM drawdown LIMIT 1")
    if row is None:
        raise RuntimeError
    node_ids = [node_id for _, node_id, _ in row["path"]]
    document_id = row["documents"][0]["document_id"]
    return row_lock.Path(node_ids, row["line_id"], market.programme_id, row["enterprise_id"], document_id)


async def _check(database: Database) -> int:
    """Return how many drawdowns are held, having seen that the programme's node holds exactly their sum."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(
            """SELECT count(*) AS many, sum(d.exposure_minor) = max(n.held_minor) AS exact
            FROM drawdown d JOIN limit_node n ON n.node_id = 'programme/' || d.programme_id"""
        )
    if row is None or not row["exact"]:
        message = "the programme's node does not hold the sum of its drawdowns"
        raise RuntimeError(message)
    return int(row["many"])


async def _relay_behind(database: Database) -> float:
    """Return how long after the last hold the relay had sent everything, in seconds."""
    clock = asyncio.get_running_loop().time
    started = clock()
    async with asyncio.timeout(_CAUGHT_UP_WITHIN_S):
        while True:
            async with database.reader() as tx:
                if not await tx.pg.fetchval("SELECT EXISTS (SELECT FROM outbox_pending WHERE shard <> 'bench-0')"):
                    return round(clock() - started, 2)
            await asyncio.sleep(0.05)
