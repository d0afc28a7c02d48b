"""Compute a generation from a snapshot, beside the lines: nobody waits for it. It runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from services.credit.domain.limits import Node
from services.credit.operations.large_programmes import PropagationFailed
from services.credit.operations.programme_facts import Computed, Facts, compute, read_facts
from services.credit.operations.trade_links import read_trade
from shared.storage.database import Database, Transaction

# What reads, or writes, a million lines may take its time: nothing waits for it.
_ANSWER_WITHIN_S = 600.0
_PROGRAMME = """
SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p WHERE programme_id = $1
"""
_NOTES = "SELECT note_id, cause, traceparent FROM due_propagation WHERE programme_id = $1 ORDER BY note_id"
_NODES = """
SELECT n.node_id, n.sanctioned_minor, n.held_minor, n.utilised_minor FROM line l
JOIN limit_node n ON n.node_id = 'line/' || l.line_id WHERE l.programme_id = $1
"""
_DONE = """
UPDATE generation SET notes = $3, cause = coalesce($4, cause), traceparent = $5, pool_minor = $6,
    reserved_minor = $7, shortfall_minor = $8, changed_lines = $9, policy_version = $10
WHERE (programme_id, number) = ($1, $2) AND flipped_at IS NULL
"""
_COLUMNS = (
    *("programme_id", "number", "line_id", "direction", "anchor_support", "tier", "volume_minor", "weight"),
    *("floor_minor", "ceiling_minor", "reserved_minor", "cap_minor", "bounds", "drawable", "reasons"),
    "policy_version",
)


def prepare(url: str, programme_id: str, number: int) -> None:
    """Compute a programme's generation and lay it beside the lines, with what it was computed for."""
    try:
        asyncio.run(_prepare(url, programme_id, number))
    except Exception as error:  # noqa: BLE001 - few errors can be sent from process to process, their words can
        raise PropagationFailed(programme_id, repr(error)) from None


async def _prepare(url: str, programme_id: str, number: int) -> None:
    database = Database(url, pool_size=1, answer_within_s=_ANSWER_WITHIN_S)
    try:
        await lay_beside(database, programme_id=programme_id, number=number)
    finally:
        await database.close()


async def lay_beside(database: Database, *, programme_id: str, number: int) -> None:
    """Compute from one snapshot, and lay what is new of the lines beside them; nothing is in force by that."""
    async with database.snapshot() as tx:
        (programme,) = await tx.pg.fetch(_PROGRAMME, programme_id)
        notes = await tx.pg.fetch(_NOTES, programme_id)
        links = await read_trade(tx, [programme])
        facts = await read_facts(tx, programme, links=links[programme["currency"]])
        nodes = {row["node_id"]: Node(*row) for row in await tx.pg.fetch(_NODES, programme_id)}
    computed = compute(facts, nodes)
    async with database.transaction() as tx:
        await _lay(tx, facts, computed, number=number)
        result = computed.result
        await tx.pg.execute(
            _DONE,
            programme_id,
            number,
            [row["note_id"] for row in notes],
            notes[-1]["cause"] if notes else None,
            notes[-1]["traceparent"] if notes else None,
            result.pool,
            result.reserved,
            result.shortfall,
            sum(line.changed for line in computed.lines),
            computed.policy.version,
        )


async def _lay(tx: Transaction, facts: Facts, computed: Computed, *, number: int) -> None:
    programme_id = facts.programme["programme_id"]
    # What an earlier attempt left, this one's or another worker's.
    await tx.pg.execute("DELETE FROM line_next WHERE programme_id = $1 AND number <= $2", programme_id, number)
    await tx.pg.copy_records_to_table(
        "line_next", records=_records(programme_id, number, computed), columns=_COLUMNS, timeout=_ANSWER_WITHIN_S
    )


def _records(programme_id: str, number: int, computed: Computed) -> Iterator[tuple[Any, ...]]:
    version = computed.policy.version
    for line in computed.lines:
        if not line.is_new(policy_version=version):
            continue
        yield (
            programme_id,
            number,
            line.row["line_id"],
            line.row["direction"],
            line.row["anchor_support"],
            line.reach.tier if line.reach else None,
            line.reach.volume_minor if line.reach else 0,
            line.given.weight,
            line.given.floor,
            line.given.ceiling,
            line.share.reserved,
            line.share.cap,
            json.dumps(line.bounds),
            not line.reasons,
            list(line.reasons),
            version,
        )
