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


# A document that is not free and never was carries nothing, then as now.
_KEEP_DOCUMENTS = """
INSERT INTO document_history (document_id, since, owner_id, obligor_id, eligible_minor, currency, due_date, free)
SELECT d.document_id, statement_timestamp(), coalesce(d.owner_id, h.owner_id), coalesce(d.obligor_id, h.obligor_id),
    coalesce(d.eligible_minor, 0), coalesce(d.currency, h.currency), coalesce(d.due_date, h.due_date), f.free
FROM document d CROSS JOIN LATERAL (SELECT document_state(d) = 'free' AS free) AS f
LEFT JOIN LATERAL (SELECT * FROM document_history WHERE document_id = d.document_id
    ORDER BY since DESC LIMIT 1) AS h ON true
WHERE d.document_id = ANY($1) AND CASE WHEN f.free THEN
    (d.owner_id, d.obligor_id, d.eligible_minor, d.currency, d.due_date, true)
        IS DISTINCT FROM (h.owner_id, h.obligor_id, h.eligible_minor, h.currency, h.due_date, h.free)
    ELSE coalesce(h.free, false) END
ON CONFLICT (document_id, since) DO UPDATE SET owner_id = excluded.owner_id, obligor_id = excluded.obligor_id,
    eligible_minor = excluded.eligible_minor, currency = excluded.currency, due_date = excluded.due_date,
    free = excluded.free
"""
_KEEP_NAMES = """
INSERT INTO enterprise_history (enterprise_id, since, name)
SELECT e.enterprise_id, statement_timestamp(), e.name FROM enterprise e
WHERE e.enterprise_id = ANY($1) AND e.name IS DISTINCT FROM (SELECT h.name FROM enterprise_history h
    WHERE h.enterprise_id = e.enterprise_id ORDER BY h.since DESC LIMIT 1)
ON CONFLICT (enterprise_id, since) DO NOTHING
"""


async def keep_documents(tx: Transaction, *, document_ids: Collection[str]) -> None:
    """Keep what documents carry from now on, where that is new; to be called after each of their changes."""
    await tx.pg.execute(_KEEP_DOCUMENTS, list(document_ids))


async def keep_names(tx: Transaction, *, enterprise_ids: Collection[str]) -> None:
    """Keep what firms are called from now on, where that is new."""
    await tx.pg.execute(_KEEP_NAMES, list(enterprise_ids))
