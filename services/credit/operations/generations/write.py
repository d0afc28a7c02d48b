"""Write a flipped generation into its lines' rows, chunk by chunk: each with its nodes, its history and its events.

A chunk leaves the generation in the transaction that writes it: after a crash the rest is still there, nothing twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from services.credit.domain.paths import Level, line_node
from services.credit.operations.due_propagations import note_moved
from services.credit.operations.large_programmes import PropagationFailed
from services.credit.operations.nodes import create_nodes, lock_nodes, note_overuse, sanction
from services.credit.operations.product_quotas import bounded_products, sanction_quotas
from services.credit.operations.programme_facts import firm_node
from services.credit.operations.programme_terms import terms_in_force
from services.credit.operations.propagate_limits import line_changed
from shared.events.envelope import Event
from shared.messaging.outbox import append
from shared.runtime.tracing import handling
from shared.storage.database import Database, Transaction

CHUNK = 250
_GENERATION = """
SELECT v.*, p.currency FROM generation v JOIN programme p USING (programme_id)
WHERE (programme_id, number) = ($1, $2) AND flipped_at IS NOT NULL FOR UPDATE OF v
"""
_CHUNK = """
SELECT g.*, l.enterprise_id, l.cap_minor AS cap_before,
    (l.cap_minor, l.tier, l.drawable, l.reasons) IS DISTINCT FROM (g.cap_minor, g.tier, g.drawable, g.reasons)
        AS is_told
FROM (SELECT line_id, programme_id, direction, tier, floor_minor, cap_minor, drawable, reasons FROM line_next
    WHERE (programme_id, number) = ($1, $2) AND line_id > $3 ORDER BY line_id LIMIT $4) AS g
CROSS JOIN LATERAL (SELECT enterprise_id, cap_minor, tier, drawable, reasons FROM line
    WHERE line_id = g.line_id LIMIT 1) AS l
ORDER BY g.line_id
"""
_WRITE = """
WITH next AS (
    DELETE FROM line_next WHERE (programme_id, number) = ($1, $2) AND line_id > $3 AND line_id <= $4 RETURNING *),
written AS (
    UPDATE line l SET tier = n.tier, volume_minor = n.volume_minor, weight = n.weight, floor_minor = n.floor_minor,
        ceiling_minor = n.ceiling_minor, reserved_minor = n.reserved_minor, cap_minor = n.cap_minor,
        drawable = n.drawable, reasons = n.reasons, bounds = n.bounds, policy_version = n.policy_version
    FROM next n WHERE l.line_id = n.line_id RETURNING l.*)
INSERT INTO line_history (line_id, since, direction, anchor_support, tier, volume_minor, weight, floor_minor,
    ceiling_minor, reserved_minor, cap_minor, bounds, drawable, reasons, policy_version)
SELECT line_id, $5, direction, anchor_support, tier, volume_minor, weight, floor_minor,
    ceiling_minor, reserved_minor, cap_minor, bounds, drawable, reasons, policy_version FROM written
ON CONFLICT (line_id, since) DO NOTHING
"""
# Only what is sanctioned otherwise is locked; nobody else sanctions these lines while their generation is written.
_OTHER = """
SELECT n.node_id FROM unnest($1::text[], $2::bigint[]) AS s(node_id, amount)
CROSS JOIN LATERAL (SELECT node_id FROM limit_node k
    WHERE k.node_id = s.node_id AND k.sanctioned_minor <> s.amount LIMIT 1) AS n
"""
_RATED = "SELECT enterprise_id, cap_minor FROM rating WHERE currency = $1 AND enterprise_id = ANY($2)"
_FIRMS = """
SELECT enterprise_id FROM line WHERE programme_id = $1 AND enterprise_id > $2 ORDER BY enterprise_id LIMIT $3
"""
_PROGRAMME = """
SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p WHERE programme_id = $1
"""
_SEEN = "UPDATE generation SET written_through = $2, phase = $3, has_risen = has_risen OR $4 WHERE programme_id = $1"


def write_some(url: str, programme_id: str, number: int, seconds: float) -> bool:
    """Write chunks for so many seconds; return whether nothing is left. It runs in a process of its own."""
    try:
        return asyncio.run(_write_some(url, programme_id, number, seconds))
    except Exception as error:  # noqa: BLE001 - few errors can be sent from process to process, their words can
        raise PropagationFailed(programme_id, repr(error)) from None


async def _write_some(url: str, programme_id: str, number: int, seconds: float) -> bool:
    database, ends = Database(url, pool_size=1), time.monotonic() + seconds
    try:
        while not (is_done := await write_chunk(database, programme_id=programme_id, number=number)):
            if time.monotonic() > ends:
                break
    finally:
        await database.close()
    return is_done


async def write_chunk(database: Database, *, programme_id: str, number: int, lines: int = CHUNK) -> bool:
    """Write the next lines of a generation, locking their nodes alone; return whether nothing is left of it."""
    async with database.transaction() as tx:
        found = await tx.pg.fetchrow(_GENERATION, programme_id, number)
        if found is None:
            return True
        with handling("propagate", [(programme_id, found["traceparent"])]):
            if found["phase"] == "lines":
                return await _write_lines(tx, found, lines)
            return await _write_quotas(tx, found, lines)


async def _write_lines(tx: Transaction, found: Mapping[str, Any], many: int) -> bool:
    programme_id, through = found["programme_id"], found["written_through"]
    chunk = await tx.pg.fetch(_CHUNK, programme_id, found["number"], through, many)
    if not chunk:
        await tx.pg.execute(_SEEN, programme_id, "", "quotas", False)  # noqa: FBT003 - a column's value
        return False
    last = chunk[-1]["line_id"]
    events: list[Event] = [
        line_changed(
            {**row, "cap_minor": row["cap_before"]},
            tier=row["tier"],
            cap=row["cap_minor"],
            reasons=row["reasons"],
            currency=found["currency"],
        )
        for row in chunk
        if row["is_told"]
    ]
    await tx.pg.execute(_WRITE, programme_id, found["number"], through, last, found["flipped_at"])
    # Nodes come as late as can be: whoever draws on one of these lines waits for them, with the programme's in hand.
    has_risen = await _sanction(tx, found, chunk)
    await append(tx, events, source="credit")
    await tx.pg.execute(_SEEN, programme_id, last, "lines", has_risen)
    return False


async def _sanction(tx: Transaction, found: Mapping[str, Any], chunk: Sequence[Mapping[str, Any]]) -> bool:
    """Sanction the nodes of lines and of their firms; return whether a line is used above what it was left."""
    currency = found["currency"]
    firms = {row["enterprise_id"]: firm_node(row, currency) for row in chunk}
    lines = {line_node(line_id=row["line_id"]): row for row in chunk}
    await create_nodes(tx, nodes=[*firms.values(), *((Level.LINE, node_id) for node_id in lines)], currency=currency)
    # A firm's own node follows its rating as it is now: another programme's propagation may have been there since.
    rated = {row["enterprise_id"]: row["cap_minor"] for row in await tx.pg.fetch(_RATED, currency, list(firms))}
    own = {node_id: rated.get(firm, 0) for firm, (_, node_id) in firms.items()}
    amounts = own | {node_id: row["cap_minor"] for node_id, row in lines.items()}
    rows = await tx.pg.fetch(_OTHER, list(amounts), list(amounts.values()))
    nodes = await lock_nodes(tx, node_ids=[row["node_id"] for row in rows])
    await sanction(tx, {node_id: own[node_id] for node_id in nodes if node_id in own})
    caps = {node_id: lines[node_id]["cap_minor"] for node_id in nodes if node_id in lines}
    await sanction(tx, caps, since=found["flipped_at"])
    await note_overuse(tx, node_ids=nodes, cause=found["cause"])
    return any(
        lines[node_id]["cap_minor"] < nodes[node_id].held + nodes[node_id].utilised > lines[node_id]["floor_minor"]
        for node_id in caps
    )


async def _write_quotas(tx: Transaction, found: Mapping[str, Any], many: int) -> bool:
    programme_id = found["programme_id"]
    (programme,) = await tx.pg.fetch(_PROGRAMME, programme_id)
    terms = (await terms_in_force(tx, [programme]))[programme_id]
    is_bounded = bool(bounded_products(terms, on=programme["today"]))
    rows = await tx.pg.fetch(_FIRMS, programme_id, found["written_through"], many) if is_bounded else []
    firms = [row["enterprise_id"] for row in rows]
    await sanction_quotas(tx, programme=programme, terms=terms, cause=found["cause"], firms=firms)
    if len(firms) == many:
        await tx.pg.execute(_SEEN, programme_id, firms[-1], "quotas", False)  # noqa: FBT003 - a column's value
        return False
    await tx.pg.execute("DELETE FROM generation WHERE programme_id = $1", programme_id)
    if found["has_risen"]:
        # A line was drawn on while its share was computed: the next generation leaves it what it uses.
        await note_moved(tx, programme_ids=[programme_id], cause=found["cause"])
    return True
