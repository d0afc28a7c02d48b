"""What a hold costs on a long past: batches of holds on a database with many past drawdowns, and on one with few.

Both are on one server and take turns in small rounds, so whatever else the machine does meets both; the figure is the
median over the rounds of one divided by the other. The past is made by SQL of a drawdown that was really held, in every
table that a hold writes, with every index there is. TRIBUTARY_BENCH_PAST says how long it is: ten million drawdowns
take 47 GB and some 20 minutes to make.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from services.credit.main import NAME
from services.credit.operations.hold_drawdowns import Draw, HoldDrawdowns
from services.credit.operations.hold_rows import ROUTE
from shared.runtime.garbage import tune_gc
from shared.runtime.settings import Settings
from shared.storage.database import Database, ensure_database, migrate
from shared.storage.idempotency import Key
from shared.values.money import Money
from tributary.bench.machine import machine
from tributary.bench.market import SUPPLIERS, Supplier, open_market
from tributary.embedded.servers import EmbeddedServers

FEW, MANY = 1_000, int(os.environ.get("TRIBUTARY_BENCH_PAST", "1000000"))
_ROUNDS, _WARM_UP_ROUNDS, _TOGETHER, _BATCHES_A_ROUND = 40, 5, 64, 5
_FRESH = (_ROUNDS + _WARM_UP_ROUNDS) * _TOGETHER * _BATCHES_A_ROUND
_PRINCIPAL_MINOR = 1_000
# Ids of drawdowns grow with time, those of documents and keys come in no order.
_DRAWDOWN = "lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000'"
_DOCUMENT, _KEY = "md5('document' || n)::uuid::text", "md5('key' || n)::uuid::text"
# One of fifty is open and keeps its document; the others are over.
_CHANGED: dict[str, dict[str, str]] = {
    "document": {"document_id": _DOCUMENT, "owner_id": "l.enterprise_id"},
    "drawdown": {
        "drawdown_id": _DRAWDOWN,
        "line_id": "l.line_id",
        "enterprise_id": "l.enterprise_id",
        "state": "CASE WHEN n % 50 = 0 THEN 'utilised' ELSE 'repaid' END",
        "expires_at": "NULL",
        "command_client": "'erp-' || l.enterprise_id",
        "command_key": _KEY,
    },
    "document_use": {"document_id": _DOCUMENT, "drawdown_id": _DRAWDOWN},
    "idempotency": {"client": "'erp-' || l.enterprise_id", "key": _KEY},
    "outbox_head": {"subject": _DRAWDOWN},
    "outbox": {"id": "md5('event' || n)::uuid::text", "subject": _DRAWDOWN},
}
_ONLY = {"document_use": "n % 50 = 0"}
_HELD_BEFORE = {"outbox": "WHERE type = 'drawdown.held.v1'", "outbox_head": "WHERE topic = 'scf.credit.drawdown.v1'"}
_COLUMNS = """
SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND is_identity = 'NO'
ORDER BY ordinal_position
"""


@dataclass
class _Desk:
    """A database with its past, and what is left to draw on."""

    database: Database
    holds: HoldDrawdowns
    suppliers: Sequence[Supplier]
    fresh: Iterator[int]

    def draws(self) -> list[Draw]:
        """Return the next commands: over documents that nobody drew on, of all suppliers in turn."""
        found = []
        for n, _ in zip(self.fresh, range(_TOGETHER), strict=False):
            number = n * 7_919 % _FRESH
            supplier = self.suppliers[number % SUPPLIERS]
            found.append(_draw(supplier.enterprise_id, supplier.line_id, f"fresh-{number:08}"))
        return found


async def measure(home: Path) -> dict[str, Any]:
    """Return how many times as much a hold costs with the long past."""
    async with EmbeddedServers(home) as servers:
        found = {"server_url": servers.database_url, "bootstrap_servers": servers.bootstrap_servers, "home": home}
        settings = Settings().model_copy(update=found)
        desks = {past: await _open(settings, past=past) for past in (FEW, MANY)}
        tune_gc()
        rounds: dict[int, list[float]] = {past: [] for past in desks}
        for _ in range(_ROUNDS + _WARM_UP_ROUNDS):
            for past, desk in desks.items():
                rounds[past].append(await _round(desk))
        sizes = {past: await _size_mib(desk.database) for past, desk in desks.items()}
        for desk in desks.values():
            await desk.holds.aclose()
            await desk.database.close()
    few, many = rounds[FEW][_WARM_UP_ROUNDS:], rounds[MANY][_WARM_UP_ROUNDS:]
    return {
        "figure": "depth",
        "value": round(1e6 * median(many), 1),
        "unit": "us a hold",
        "baseline": round(1e6 * median(few), 1),
        "baseline_name": f"the same with {FEW:,} past drawdowns, in turn on the same server",
        "ratio": round(median(many) / median(few), 3),
        "p50_ms": round(1e3 * _TOGETHER * median(many), 2),
        "p99_ms": round(1e3 * _TOGETHER * sorted(many)[int(0.99 * len(many))], 2),
        "machine": machine(),
        "past": MANY,
        "a_transaction": _TOGETHER,
        "rounds": _ROUNDS,
        "database_mib": sizes,
    }


async def _open(settings: Settings, *, past: int) -> _Desk:
    url = await ensure_database(server_url=settings.server_url, service=f"depth_{past}")
    await migrate(url=url, package=f"services.{NAME}")
    database = Database(url, pool_size=2, answer_within_s=3_600)
    market = await open_market(database, settings=settings, documents=1)
    holds = HoldDrawdowns(database, hold_seconds=3_600)
    supplier, document_id = next(market.documents)
    await holds.submit(_draw(supplier.enterprise_id, supplier.line_id, document_id))
    connection = await asyncpg.connect(url)
    try:
        for table, changed in _CHANGED.items():
            await _repeat(connection, table, range(1, past + 1), changed, only=_ONLY.get(table, "true"))
        fresh = {**_CHANGED["document"], "document_id": "'fresh-' || lpad(n::text, 8, '0')"}
        await _repeat(connection, "document", range(_FRESH), fresh)
        # What autovacuum and the checkpointer do with time.
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    suppliers = sorted(market.suppliers, key=lambda each: each.line_id)
    return _Desk(database, holds, suppliers, iter(range(_FRESH)))


async def _repeat(
    connection: asyncpg.Connection[Any], table: str, numbers: range, changed: Mapping[str, str], *, only: str = "true"
) -> None:
    """Write a table's row of the one hold that was made again, for each number, with what changes from one to next."""
    columns = [row["column_name"] for row in await connection.fetch(_COLUMNS, table)]
    values = ", ".join(changed.get(column, f"t.{column}") for column in columns)
    await connection.execute(
        f"""INSERT INTO {table} ({", ".join(columns)})
        SELECT {values} FROM generate_series({numbers.start}, {numbers.stop - 1}) AS n
        CROSS JOIN (SELECT * FROM {table} {_HELD_BEFORE.get(table, "")} LIMIT 1) AS t
        JOIN (SELECT *, row_number() OVER (ORDER BY line_id) - 1 AS nth FROM line) AS l ON l.nth = n % {SUPPLIERS}
        WHERE {only} ORDER BY n"""  # noqa: S608 - names and expressions are this file's own
    )


async def _round(desk: _Desk) -> float:
    """Return the seconds that a hold takes, over a few transactions."""
    batches = [desk.draws() for _ in range(_BATCHES_A_ROUND)]
    started = time.perf_counter()
    for draws in batches:
        for answer in await desk.holds.submit_together(draws):
            if not isinstance(answer, str):
                raise answer
    return (time.perf_counter() - started) / (_BATCHES_A_ROUND * _TOGETHER)


def _draw(party: str, line_id: str, document_id: str) -> Draw:
    return Draw(
        key=Key.of(client=f"erp-{party}", route=ROUTE, key=document_id, body=document_id.encode()),
        party=party,
        line_id=line_id,
        documents=(("receivable", document_id),),
        principal=Money(_PRINCIPAL_MINOR, "CNY"),
        purpose="wages",
    )


async def _size_mib(database: Database) -> int:
    async with database.reader() as tx:
        return int(await tx.pg.fetchval("SELECT pg_database_size(current_database()) / 1048576"))
