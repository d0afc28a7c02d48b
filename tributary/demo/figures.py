"""What a run left behind: events published and consumed, and the invariants."""

from __future__ import annotations

import asyncio
import importlib
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import asyncpg

from tributary.services import SERVICES

if TYPE_CHECKING:
    from shared.runtime.settings import Settings

_FIGURES = """
SELECT (SELECT count(*) FROM outbox) - (SELECT count(*) FROM outbox_pending) AS published,
    (SELECT coalesce(sum(consumed), 0) FROM inbox_stats) AS consumed,
    (SELECT coalesce(sum(duplicates), 0) FROM inbox_stats) AS duplicates,
    (SELECT count(*) FROM inbox_parked) AS parked,
    (SELECT count(*) FROM outbox_pending) AS pending
"""
_COUNTS = ("published", "consumed", "duplicates", "parked")
_QUIET_WITHIN_S = 60.0
_POLL_S = 0.1


async def event_figures(settings: Settings) -> dict[str, int]:
    """Return what all services published and consumed, once nothing is on its way any more."""
    deadline = asyncio.get_running_loop().time() + _QUIET_WITHIN_S
    before: Mapping[str, int] = {}
    while True:
        found: Counter[str] = Counter()
        for service in SERVICES:
            found.update(await _figures(settings.database(service)))
        quiet = not found["pending"] and not found["parked"] and found == before
        if quiet or asyncio.get_running_loop().time() > deadline:
            return {name: found[name] for name in _COUNTS}
        before = found
        await asyncio.sleep(_POLL_S)


async def invariant_figures(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the figure of each invariant."""
    check = importlib.import_module("tributary.verify.check")
    results = await check.run_checks(settings)
    return {name: result.wire() for name, result in results.items()}


async def _figures(url: str) -> dict[str, int]:
    try:
        connection = await asyncpg.connect(url)
    except asyncpg.InvalidCatalogNameError:
        return {}
    try:
        row = (await connection.fetch(_FIGURES))[0]
        return {name: int(value) for name, value in row.items()}
    except asyncpg.UndefinedTableError:
        return {}
    finally:
        await connection.close()
