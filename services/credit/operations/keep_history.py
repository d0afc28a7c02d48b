"""Keep what a past instant is explained by, beside what propagation keeps of nodes and lines (decision 0022)."""

from __future__ import annotations

from collections.abc import Collection

from shared.storage.database import Transaction

# What a line's path and its last reasons follow from, beside the line.
_KEEP = """
INSERT INTO programme_history (programme_id, since, facts)
SELECT p.programme_id, statement_timestamp(), f.facts FROM programme p CROSS JOIN LATERAL (
    SELECT jsonb_build_object('name', p.name, 'terms', p.terms, 'anchor_id', p.anchor_id,
        'group_head_id', p.group_head_id, 'active', p.active,
        'anchor_rated', EXISTS (SELECT FROM rating r
            WHERE (r.enterprise_id, r.currency) = (p.anchor_id, p.currency)),
        'anchor_known', EXISTS (SELECT FROM enterprise e WHERE e.enterprise_id = p.anchor_id)) AS facts) AS f
WHERE p.programme_id = ANY($1) AND f.facts IS DISTINCT FROM (SELECT h.facts FROM programme_history h
    WHERE h.programme_id = p.programme_id ORDER BY h.since DESC LIMIT 1)
ON CONFLICT (programme_id, since) DO NOTHING
"""


async def keep_programmes(tx: Transaction, *, programme_ids: Collection[str]) -> None:
    """Keep programmes' terms and what is known of their anchors, where that is new."""
    await tx.pg.execute(_KEEP, list(programme_ids))
