"""Flip a programme to its generation: the one moment that draws wait for, however many lines there are."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from services.credit.operations.keep_history import keep_programmes
from services.credit.operations.large_programmes import sanction_head
from services.credit.operations.nodes import create_nodes, lock_nodes
from services.credit.operations.programme_facts import read_head
from services.credit.operations.propagate_limits import limit_propagated
from shared.messaging.outbox import append
from shared.runtime.tracing import handling
from shared.storage.database import Database, Transaction

# Inputs that never rest must not keep a generation back for ever: then the snapshot's comes first, the next one after.
MOST_ATTEMPTS = 3
_PROGRAMME = """
SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p
WHERE programme_id = $1 FOR UPDATE OF p
"""
_GENERATION = "SELECT * FROM generation WHERE (programme_id, number) = ($1, $2) AND flipped_at IS NULL FOR UPDATE"
_MOVED = "SELECT EXISTS (SELECT FROM due_propagation WHERE programme_id = $1 AND NOT note_id = ANY($2))"
_FLIP = """
UPDATE generation SET flipped_at = statement_timestamp(), written_through = '' WHERE programme_id = $1
"""
# Lines that were used above their cap and are not above the new one: from now on they may be drawn on again.
_BACK_IN_LIMIT = """
UPDATE overuse SET until = clock_timestamp() WHERE until IS NULL AND node_id IN (
    SELECT o.node_id FROM overuse o
    CROSS JOIN LATERAL (SELECT cap_minor FROM line_next g
        WHERE (g.programme_id, g.number, g.line_id) = ($1, $2, substr(o.node_id, 6)) LIMIT 1) AS g
    CROSS JOIN LATERAL (SELECT held_minor + utilised_minor AS used FROM limit_node n
        WHERE n.node_id = o.node_id LIMIT 1) AS n
    WHERE o.until IS NULL AND starts_with(o.node_id, 'line/') AND n.used <= g.cap_minor)
"""


class Flipped(StrEnum):
    """What came of it."""

    FLIPPED = "flipped"
    MOVED = "moved"
    LOST = "lost"


async def flip(database: Database, *, programme_id: str, number: int) -> Flipped:
    """Put a prepared generation in force, unless an input moved since its snapshot; LOST when it is another worker's.

    What is used may have risen since: by draws that every node above bounded, within the caps that were in force.
    """
    async with database.transaction() as tx:
        programme = await tx.pg.fetchrow(_PROGRAMME, programme_id)
        found = await tx.pg.fetchrow(_GENERATION, programme_id, number)
        if programme is None or found is None:
            return Flipped.LOST
        if found["attempts"] < MOST_ATTEMPTS and await tx.pg.fetchval(_MOVED, programme_id, found["notes"]):
            return Flipped.MOVED
        with handling("propagate", [(programme_id, found["traceparent"])]):
            await _flip(tx, programme, found)
    return Flipped.FLIPPED


async def _flip(tx: Transaction, programme: Any, found: Any) -> None:
    programme_id, cause = programme["programme_id"], found["cause"]
    head = await read_head(tx, programme)
    await create_nodes(tx, nodes=head.nodes(), currency=head.terms.currency)
    await lock_nodes(tx, node_ids=[node_id for _, node_id in head.nodes()])
    await tx.pg.execute("DELETE FROM due_propagation WHERE note_id = ANY($1)", found["notes"])
    await tx.pg.execute(
        "UPDATE programme SET shortfall_minor = $2, pool_minor = $3 WHERE programme_id = $1",
        *(programme_id, found["shortfall_minor"], found["pool_minor"]),
    )
    await sanction_head(tx, head, cause=cause)
    await tx.pg.execute(_BACK_IN_LIMIT, programme_id, found["number"])
    await tx.pg.execute(_FLIP, programme_id)
    await keep_programmes(tx, programme_ids=[programme_id])
    said = limit_propagated(
        programme_id,
        limit=head.terms.limit,
        pool=found["pool_minor"],
        reserved=found["reserved_minor"],
        shortfall=found["shortfall_minor"],
        changed_lines=found["changed_lines"],
        cause=cause,
        policy_version=found["policy_version"],
    )
    await append(tx, [said], source="credit")
