"""What a firm's free documents carry for a line: now, and as it was at a past instant."""

from __future__ import annotations

from datetime import date, datetime

from services.credit.domain.eligibility import owner_and_obligor
from services.credit.domain.explaining import Base
from services.credit.domain.offers import Terms
from services.credit.domain.past import RELEASES, TELLING
from shared.events.credit import DrawdownHeld
from shared.storage.database import Transaction

# Each document carries one financing, so what is in use carries nothing more.
_BASE = """
SELECT count(*)::int AS documents, coalesce(sum(d.eligible_minor), 0)::bigint AS eligible,
    coalesce(sum(d.eligible_minor * $5 / 1000000), 0)::bigint AS carries
FROM document d
WHERE d.owner_id = $1 AND d.obligor_id = $2 AND d.currency = $3 AND d.due_date > $4
    AND document_state(d) = 'free' AND d.confirmed_by IS DISTINCT FROM $6
    AND NOT EXISTS (SELECT FROM document_use u WHERE u.document_id = d.document_id)
"""
# As of an instant: documents by their history, and without what was in use. Of a drawdown to which something happened
# since, its last event by then tells whether it used its documents; of all others the uses that there are.
_PAST_BASE = """
WITH free AS MATERIALIZED (
    SELECT f.document_id, f.eligible_minor
    FROM (SELECT DISTINCT document_id FROM document_history
        WHERE owner_id = $1 AND obligor_id = $2 AND since <= $6) AS d
    CROSS JOIN LATERAL (SELECT * FROM document_history h
        WHERE h.document_id = d.document_id AND h.since <= $6 ORDER BY h.since DESC LIMIT 1) AS f
    WHERE f.free AND f.owner_id = $1 AND f.obligor_id = $2 AND f.currency = $3 AND f.due_date > $4),
moved AS MATERIALIZED (SELECT DISTINCT subject FROM outbox_kept WHERE topic = $7 AND time > $6),
used AS (
    SELECT f.document_id FROM free f JOIN document_use u USING (document_id)
        WHERE NOT EXISTS (SELECT FROM moved m WHERE m.subject = u.drawdown_id)
    UNION ALL
    SELECT u ->> 'document_id' FROM moved m
        CROSS JOIN LATERAL (SELECT documents FROM drawdown WHERE drawdown_id = m.subject LIMIT 1) AS w
        CROSS JOIN LATERAL jsonb_array_elements(w.documents) AS u
        CROSS JOIN LATERAL (SELECT o.type FROM outbox_kept o
            WHERE o.topic = $7 AND o.subject = m.subject AND o.time <= $6 AND o.type = ANY($8)
            ORDER BY o.sequence DESC LIMIT 1) AS t
        WHERE t.type <> $9)
SELECT count(*)::int AS documents, coalesce(sum(f.eligible_minor), 0)::bigint AS eligible,
    coalesce(sum(f.eligible_minor * $5 / 1000000), 0)::bigint AS carries
FROM free f WHERE NOT EXISTS (SELECT FROM used u WHERE u.document_id = f.document_id)
    AND NOT EXISTS (SELECT FROM document d WHERE d.document_id = f.document_id AND d.confirmed_by = $10)
"""


async def read_base(tx: Transaction, terms: Terms, *, today: date, as_of: datetime | None = None) -> Base:
    """Return what free documents carry on a business date for a line of these terms; as recorded by an instant."""
    drawer = terms.drawer
    given = (*owner_and_obligor(drawer, on_claims=terms.product.on_claims), drawer.currency, today, terms.advance_rate)
    if as_of is None:
        (row,) = await tx.pg.fetch(_BASE, *given, drawer.enterprise_id)
    else:
        told = (as_of, DrawdownHeld.topic, list(TELLING), RELEASES, drawer.enterprise_id)
        (row,) = await tx.pg.fetch(_PAST_BASE, *given, *told)
    return Base(row["documents"], row["eligible"], row["carries"], terms.advance_rate)
