"""Bring onto a limit node what was drawn before it came: it goes onto the drawdowns' own paths, so each moves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.credit.operations.nodes import lock_nodes, move, note_overuse
from shared.storage.database import Transaction, by_column

# Of a programme: its lines that have a limit as a pair with the anchor.
_PAIRS = """
SELECT l.line_id, n.node_id FROM limit_node n JOIN line l ON l.programme_id = $1
    AND l.enterprise_id = CASE l.direction WHEN 'upstream' THEN split_part(n.node_id, '/', 2)
        ELSE split_part(n.node_id, '/', 3) END
WHERE n.level = 9 AND n.currency = $3
    AND $2 = CASE l.direction WHEN 'upstream' THEN split_part(n.node_id, '/', 3) ELSE split_part(n.node_id, '/', 2) END
ORDER BY n.node_id, l.line_id
"""
# Ended ones too: a reversal, or money that went out late, would use again what it did. Where nothing was claimed of an
# obligor, on the rating alone, there is no pair.
_APPEND = """
WITH lines AS (SELECT * FROM unnest($1::text[], $2::text[]) AS p(line_id, node_id)),
brought AS (
    UPDATE drawdown w SET path = w.path || jsonb_build_array(jsonb_build_array(9, p.node_id, 1000000))
    FROM lines p WHERE w.line_id = p.line_id AND w.documents <> '[]'
        AND NOT w.path @> jsonb_build_array(jsonb_build_array(p.node_id))
    RETURNING p.node_id, w.used_minor,
        CASE WHEN w.state IN ('held', 'referred', 'approved', 'cancelling') THEN w.exposure_minor ELSE 0 END AS held)
SELECT node_id, sum(held)::bigint AS held, sum(used_minor)::bigint AS used FROM brought GROUP BY 1
"""
# The line's own node of cover carries what the firm's does of the loans on it.
_APPEND_COVERED = """
WITH lines AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS p(line_id, firm_node, node_id)),
brought AS (
    UPDATE drawdown w SET path = w.path || jsonb_build_array(jsonb_set(jsonb_path_query_first(
        w.path, 'strict $[*] ? (@[1] == $n)', jsonb_build_object('n', p.firm_node)), '{1}', to_jsonb(p.node_id)))
    FROM lines p WHERE w.line_id = p.line_id AND w.path @> jsonb_build_array(jsonb_build_array(p.firm_node))
        AND NOT w.path @> jsonb_build_array(jsonb_build_array(p.node_id))
    RETURNING p.node_id, w.used_minor, coalesce((jsonb_path_query_first(
            w.path, 'strict $[*] ? (@[1] == $n)', jsonb_build_object('n', p.firm_node)) ->> 3)::bigint, 0) AS above,
        CASE WHEN w.state IN ('held', 'referred', 'approved', 'cancelling') THEN w.exposure_minor ELSE 0 END AS held)
SELECT node_id, sum(greatest(0, held - above))::bigint AS held, sum(greatest(0, used_minor - above))::bigint AS used
FROM brought GROUP BY 1
"""


async def bring_in(tx: Transaction, *, programme: Mapping[str, Any]) -> None:
    """Bring in what was drawn in a programme between pairs that have a limit and is not on their nodes yet.

    The programme's node is locked, so no drawdown of it moves.
    """
    pairs = await tx.pg.fetch(_PAIRS, programme["programme_id"], programme["anchor_id"], programme["currency"])
    if not pairs:
        return
    await lock_nodes(tx, node_ids=sorted({row["node_id"] for row in pairs}))
    rows = await tx.pg.fetch(_APPEND, [row["line_id"] for row in pairs], [row["node_id"] for row in pairs])
    await move(tx, {row["node_id"]: (row["held"], row["used"]) for row in rows})
    await note_overuse(tx, node_ids=[row["node_id"] for row in rows], cause="pair_limit.set")


async def bring_in_covered(tx: Transaction, lines: Sequence[tuple[str, str, str]]) -> None:
    """Bring onto lines' own nodes of cover, which are locked with their programmes, what the firm's carries of them.

    Each is a line, the firm's node and the line's.
    """
    rows = await tx.pg.fetch(_APPEND_COVERED, *by_column(lines, width=3))
    await move(tx, {row["node_id"]: (row["held"], row["used"]) for row in rows})
