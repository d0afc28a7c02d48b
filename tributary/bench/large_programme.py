"""A programme of a hundred thousand lines in the database: how long draws wait while it changes, the two ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median
from typing import Any

import asyncpg

from services.credit.operations.due_propagations import note_moved
from services.credit.operations.propagate_limits import propagate_limits
from shared.storage.database import Database
from tributary.bench.wide_programme import WideProgramme, wide_programme
from tributary.platform import Platform

_EVERY_S, _ANSWER_WITHIN_S = 0.005, 600.0
# What the events of so many admitted, rated and signed firms would have left, each with a link to the anchor.
_LOAD = (
    """INSERT INTO enterprise (enterprise_id, name, group_head_id, size_class, industry, account)
    SELECT 'f' || n, 'supplier', 'f' || n, 'small', '', 'account' FROM generate_series(1, {lines}) AS n""",
    """INSERT INTO rating SELECT 'f' || n, 'CNY', 'A', 90000000000, 1000000, 10000, '2999-01-01'
    FROM generate_series(1, {lines}) AS n""",
    """INSERT INTO link SELECT 'k' || n, 'f' || n, anchor_id, 10000000 + 97 * n % 990000000, 'CNY'
    FROM generate_series(1, {lines}) AS n CROSS JOIN programme WHERE programme_id = $1""",
    "INSERT INTO agreement SELECT $1, 'f' || n, '2999-01-01', 0 FROM generate_series(1, {lines}) AS n",
    """INSERT INTO line (line_id, programme_id, enterprise_id, direction, anchor_support)
    SELECT 'f' || n, $1, 'f' || n, 'upstream', 0 FROM generate_series(1, {lines}) AS n""",
    """INSERT INTO limit_node (node_id, level, currency)
    SELECT 'line/f' || n, 6, 'CNY' FROM generate_series(1, {lines}) AS n
    UNION ALL SELECT 'sme/f' || n || '/CNY', 5, 'CNY' FROM generate_series(1, {lines}) AS n""",
)
# What a hold locks, without the hold.
_LOCK = """
SELECT node_id FROM limit_node WHERE node_id = ANY($1) ORDER BY level, node_id FOR NO KEY UPDATE
"""


@dataclass
class Waits:
    """How long whoever draws waited for the locks of a line's path, in seconds."""

    seconds: list[float] = field(default_factory=list)

    @property
    def longest(self) -> float:
        """Return the longest wait: draws were locked out for so long."""
        return max(self.seconds)


async def change_limits(platform: Platform, *, lines: int) -> dict[str, Any]:
    """Return what a change of a large programme's limit takes by a generation, then what it takes under the lock."""
    async with wide_programme(platform, lines=0) as wide:
        large = replace(wide, lines=lines)
        await _load(large)
        async with _drawing(large, lines=lines) as waits:
            await asyncio.sleep(1)
        idle = waits
        async with _drawing(large, lines=lines) as waits:
            seen = await large.change_limit("700000000.00")
        locked_s, held_up = await _under_the_lock(large, lines=lines)
    return {
        "large_lines": lines,
        "large_flipped_s": round(seen.lines, 2),
        "large_events_out_s": round(seen.events, 2),
        "large_read_model_s": round(seen.read_model, 2),
        "large_draws_waited_ms": round(1000 * waits.longest),
        "large_draws_waited_median_ms": round(1000 * median(waits.seconds), 2),
        "large_draws_looked": len(waits.seconds),
        "large_draws_waited_idle_ms": round(1000 * idle.longest),
        "under_lock_s": round(locked_s, 2),
        "under_lock_draws_waited_ms": round(1000 * held_up.longest),
    }


async def _load(wide: WideProgramme) -> None:
    database = Database(wide.credit.url, pool_size=1, answer_within_s=_ANSWER_WITHIN_S)
    try:
        async with database.transaction() as tx:
            for statement in _LOAD:
                given = (wide.programme_id,) if "$1" in statement else ()
                await tx.pg.execute(statement.format(lines=wide.lines), *given)
            await note_moved(tx, programme_ids=[wide.programme_id], cause="bench")
    finally:
        await database.close()
    await wide.settled()


async def _under_the_lock(wide: WideProgramme, *, lines: int) -> tuple[float, Waits]:
    database = Database(wide.credit.url, pool_size=1, answer_within_s=_ANSWER_WITHIN_S)
    try:
        async with _drawing(wide, lines=lines) as waits:
            async with database.transaction() as tx:
                # It computes for longer than a session may be silent in a transaction.
                await tx.pg.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                await tx.pg.execute(
                    """UPDATE programme SET terms = jsonb_set(terms, '{limit,amount}', '"600000000.00"')
                    WHERE programme_id = $1""",
                    wide.programme_id,
                )
                began = time.perf_counter()
                await propagate_limits(tx, programme_ids=[wide.programme_id], cause="bench", wholly=True)
            seconds = time.perf_counter() - began
    finally:
        await database.close()
    return seconds, waits


@asynccontextmanager
async def _drawing(wide: WideProgramme, *, lines: int) -> AsyncIterator[Waits]:
    """Take the locks of one line's path after another while the block runs, as whoever draws does."""
    waits, connection = Waits(), await asyncpg.connect(wide.credit.url)
    task = asyncio.create_task(_take_locks(connection, waits, wide.programme_id, lines))
    try:
        yield waits
        await asyncio.sleep(2 * _EVERY_S)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await connection.close()


async def _take_locks(connection: asyncpg.Connection[Any], waits: Waits, programme_id: str, lines: int) -> None:
    random = Random(lines)  # noqa: S311 - which line, not a secret
    while True:
        firm = f"f{random.randint(1, lines)}"
        path = [f"programme/{programme_id}", f"line/{firm}", f"sme/{firm}/CNY"]
        async with connection.transaction():
            began = time.perf_counter()
            await connection.fetch(_LOCK, path)
            waits.seconds.append(time.perf_counter() - began)
        await asyncio.sleep(_EVERY_S)
