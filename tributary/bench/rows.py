"""CSV rows a second from the first byte sent until each is answered, beside COPY of the same rows into bare tables.

The bare tables have the indexes and checks of ours and nothing before them: no reading, no rules, no look-ups. `one
table` is the receivables alone; `every table` all that a row becomes: the receivable, its answer, its event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import httpx

from services.receivables.main import NAME
from shared.runtime.settings import Settings
from shared.storage.database import Database, ensure_database, migrate
from shared.values.ids import new_id
from shared.web.issuer import Issuer
from tributary.bench.cpu import cpu_of, postgres_cpu
from tributary.bench.server import serving
from tributary.embedded.servers import EmbeddedServers

SMALL, LARGE, FULL = 20_000, 100_000, 1_000_000
_ROUNDS = 3
_SELLERS, _OBLIGORS = 400, 50
_HEADER = "seller_id,obligor_id,number,document_type,issue_date,due_date,amount,currency,order_reference\n"
_ROWS_A_PIECE = 2000
_LOOK_S = 0.1
_CHUNK = 500
# What a row becomes; the audit log has an entry a chunk.
TABLES = ("receivable", "upload_item", "outbox_head", "outbox", "outbox_pending")


class NotTaken(RuntimeError):
    """Some rows were not taken: what was measured would be something else."""

    code = "not_taken"


class Sent:
    """The rows of one upload, made as they are sent; no two of any share a claim or look alike."""

    def __init__(self, firms: list[str], *, rows: int, series: int) -> None:
        """Name the rows' numbers and amounts after the series."""
        self._sellers, self._obligors = firms[:_SELLERS], firms[_SELLERS:]
        self._rows, self._series = rows, series

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the file."""
        yield _HEADER.encode()
        for start in range(0, self._rows, _ROWS_A_PIECE):
            yield "".join(map(self._row, range(start, min(start + _ROWS_A_PIECE, self._rows)))).encode()

    def _row(self, nth: int) -> str:
        seller, obligor = self._sellers[nth % _SELLERS], self._obligors[nth * 7 % _OBLIGORS]
        day, amount = 1 + nth % 28, self._series * FULL + nth + 1
        return (
            f"{seller},{obligor},B{self._series:03}-{nth:07},380,2026-09-{day:02},2026-12-{day:02},{amount}.50,CNY,\n"
        )


async def rows_a_second(home: Path) -> dict[str, Any]:
    """Return rows a second end to end, processor time a row, the server's memory at two sizes, and the limits."""
    async with EmbeddedServers(home, with_kafka=False) as servers:
        settings = Settings().model_copy(update={"server_url": servers.database_url, "home": home})
        url = await ensure_database(server_url=settings.server_url, service=NAME)
        await migrate(url=url, package=f"services.{NAME}")
        database = Database(url, pool_size=2)
        postgres = servers.postgres.process
        try:
            firms = await _firms(database)
            async with serving(settings, NAME) as (port, server), client_of(settings, port, role="bank_maker") as http:
                await _upload(http, Sent(firms, rows=SMALL, series=0), rows=SMALL)
                if postgres is None:
                    raise RuntimeError
                return await _measure(database, http, firms, server=server, postgres=postgres.pid)
        finally:
            await database.close()


async def _measure(
    database: Database, http: httpx.AsyncClient, firms: list[str], *, server: int, postgres: int
) -> dict[str, Any]:
    ours: list[float] = []
    one_table: list[float] = []
    every_table: list[float] = []
    cpu = {"server": 0.0, "PostgreSQL": 0.0}
    for nth in range(_ROUNDS):
        before = cpu_of(server), postgres_cpu(postgres)
        seconds = await _upload(http, Sent(firms, rows=SMALL, series=1 + nth), rows=SMALL)
        cpu["server"] += cpu_of(server) - before[0]
        cpu["PostgreSQL"] += postgres_cpu(postgres) - before[1]
        ours.append(SMALL / seconds)
        one_table.append(await _bare(database, TABLES[:1]))
        every_table.append(await _bare(database, TABLES))
    memory = {}
    for nth, rows in enumerate((LARGE, FULL), start=1 + _ROUNDS):
        seconds = await _upload(http, Sent(firms, rows=rows, series=nth), rows=rows)
        memory[rows] = {"peak_mib": peak_mib(server), "rows_a_second": round(rows / seconds)}
    return {
        "rows_a_second": round(median(ours)),
        "cpu_us_a_row": {name: round(1e6 * seconds / (_ROUNDS * SMALL), 1) for name, seconds in cpu.items()},
        "copy_into_one_bare_table": round(median(one_table)),
        "copy_into_every_bare_table": round(median(every_table)),
        "ratio_to_every_table": round(median(ours) / median(every_table), 3),
        "server_memory_by_rows": memory,
        "rounds": [round(each) for each in ours],
        "every_table_rounds": [round(each) for each in every_table],
    }


async def _upload(http: httpx.AsyncClient, sent: Sent, *, rows: int) -> float:
    """Send a file and wait until each row is answered; return the seconds. NotTaken unless all were taken."""
    began = time.perf_counter()
    answer = await http.post("/uploads", content=sent.pieces(), headers={"content-type": "text/csv"})
    if answer.status_code != httpx.codes.ACCEPTED:
        raise NotTaken(answer.text)
    progress = answer.json()["progress"].removeprefix(f"/{NAME}/v1")
    while True:
        found = (await http.get(progress)).json()
        if found["state"] in {"done", "refused"}:
            break
        await asyncio.sleep(_LOOK_S)
    seconds = time.perf_counter() - began
    if found["accepted"] != rows:
        raise NotTaken(str(found))
    return seconds


async def _bare(database: Database, tables: tuple[str, ...]) -> float:
    """Return rows a second of COPY into copies of the tables, so many rows a commit as intake has."""
    async with database.transaction() as tx:
        copied = {}
        for table in tables:
            await tx.pg.execute(f"DROP TABLE IF EXISTS bare_{table}")
            await tx.pg.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
            copied[table] = await _chunks(tx.pg, table)
    began = time.perf_counter()
    for nth in range(SMALL // _CHUNK):
        async with database.transaction() as tx:
            for table, chunks in copied.items():
                await tx.pg.copy_to_table(f"bare_{table}", source=BytesIO(chunks[nth]), format="text")
    return SMALL / (time.perf_counter() - began)


async def _chunks(pg: asyncpg.Connection[Any], table: str) -> list[bytes]:
    """Return the newest rows of a table as COPY takes them, a commit's rows in each."""
    out = BytesIO()
    await pg.copy_from_query(
        f"SELECT * FROM {table} ORDER BY ctid DESC LIMIT {SMALL}",  # noqa: S608 - constants only
        output=out,
        format="text",
    )
    lines = out.getvalue().splitlines(keepends=True)
    return [b"".join(lines[start : start + _CHUNK]) for start in range(0, SMALL, _CHUNK)]


async def _firms(database: Database) -> list[str]:
    firms = [new_id() for _ in range(_SELLERS + _OBLIGORS)]
    async with database.transaction() as tx:
        await tx.pg.execute(
            "INSERT INTO enterprise (enterprise_id, name, name_key) SELECT id, id, id FROM unnest($1::text[]) AS d(id)",
            firms,
        )
    return firms


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has held so far, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError


@asynccontextmanager
async def client_of(
    settings: Settings, port: int, *, role: str, party: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the measured server with a token of this role."""
    issuer = Issuer(home=settings.home, issuer=settings.issuer, audience=settings.audience)
    token = issuer.issue(subject="bench", roles=[role], party=party, client_id=f"bench-{party}")
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}/{NAME}/v1", headers=headers, timeout=120, trust_env=False
    ) as http:
        yield http
