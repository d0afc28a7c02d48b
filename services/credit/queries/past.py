"""A line, its terms and the nodes of its path as they stood at a past instant, from histories and events.

What changes seldom has a history, written when it changed; what is held and used follows from the events of drawdowns
since. An instant sees what was recorded by then, so nothing that was learned later, whatever date it speaks of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any

from services.credit.domain.limits import Node
from services.credit.domain.offers import Terms
from services.credit.domain.past import TELLING, Carried, Moved, carried, undo
from services.credit.domain.paths import stored_path
from services.credit.operations.line_terms import UnknownLine, terms_of
from services.credit.queries.reading import node_of
from shared.events.credit import DrawdownHeld
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction
from shared.values.money import parse_minor

_LINE = """
SELECT h.*, l.programme_id, l.enterprise_id, coalesce(t.name, '') AS enterprise_name,
    coalesce(e.size_class, '') AS size_class, p.currency, f.facts,
    EXISTS (SELECT FROM block b WHERE b.subject = l.line_id AND b.blocked_at <= $2
        AND (b.lifted_at IS NULL OR b.lifted_at > $2)) AS line_blocked,
    EXISTS (SELECT FROM block b WHERE b.subject = l.enterprise_id AND b.blocked_at <= $2
        AND (b.lifted_at IS NULL OR b.lifted_at > $2)) AS firm_blocked,
    (SELECT jsonb_agg(k.body)::text FROM (
        SELECT DISTINCT ON (o.cover_id) x.body FROM cover c JOIN cover o USING (asset, currency)
        JOIN cover_history x ON x.cover_id = o.cover_id AND x.since <= $2
        WHERE c.enterprise_id = l.enterprise_id AND c.currency = p.currency
        ORDER BY o.cover_id, x.since DESC) AS k WHERE k.body ->> 'state' = 'registered') AS charges,
    (SELECT k.node_id FROM node_history k WHERE k.since <= $2 AND k.node_id = 'pair/' || CASE h.direction
        WHEN 'upstream' THEN l.enterprise_id || '/' || p.anchor_id ELSE p.anchor_id || '/' || l.enterprise_id END
        || '/' || p.currency LIMIT 1) AS pair_node
FROM line l JOIN programme p USING (programme_id) LEFT JOIN enterprise e USING (enterprise_id)
CROSS JOIN LATERAL line_past(l.line_id, $2) AS h
CROSS JOIN LATERAL (SELECT facts FROM programme_history
    WHERE programme_id = l.programme_id AND since <= $2 ORDER BY since DESC LIMIT 1) AS f
LEFT JOIN LATERAL (SELECT name FROM enterprise_history
    WHERE enterprise_id = l.enterprise_id AND since <= $2 ORDER BY since DESC LIMIT 1) AS t ON true
WHERE l.line_id = $1
"""
_DAY = "SELECT open_date FROM day_history WHERE since <= $1 ORDER BY since DESC LIMIT 1"
# The last instant at which a business date was open; none while it still is, or when it never was.
_CLOSED = """
SELECT (SELECT min(since) FROM day_history WHERE open_date > $1) - interval '1 microsecond'
WHERE EXISTS (SELECT FROM day_history WHERE open_date = $1)
"""
_SANCTIONED = """
SELECT n.node_id, h.sanctioned_minor FROM unnest($1::text[]) AS n(node_id)
CROSS JOIN LATERAL node_past(n.node_id, $2) AS h
"""
# Whatever drawdown something happened to since: what was last said of it by then, and how it stands now.
_MOVED = """
WITH moved AS MATERIALIZED (SELECT DISTINCT subject FROM outbox_kept WHERE topic = $1 AND time > $2)
SELECT w.path, w.exposure_minor, w.disbursed_minor, w.state, w.used_minor, t.type, t.outstanding
FROM moved m CROSS JOIN LATERAL (SELECT * FROM drawdown WHERE drawdown_id = m.subject) AS w
LEFT JOIN LATERAL (
    SELECT o.type, o.body::jsonb #>> '{outstanding,amount}' AS outstanding
    FROM outbox_kept o WHERE o.topic = $1 AND o.subject = m.subject AND o.time <= $2 AND o.type = ANY($3)
    ORDER BY o.sequence DESC LIMIT 1) AS t ON true
WHERE EXISTS (SELECT FROM jsonb_array_elements(w.path) AS s WHERE s ->> 1 = ANY($4))
"""


async def closing_instant(tx: Transaction, *, on: date) -> datetime | None:
    """Return the last instant of a business date that is over; None when it is open still, or never was."""
    found: datetime | None = await tx.pg.fetchval(_CLOSED, on)
    return found


async def read_past(
    tx: Transaction, *, line_id: str, as_of: datetime
) -> tuple[dict[str, Any], Terms, dict[str, Node], date]:
    """Return a line, its terms, its nodes and the business date as of an instant; UnknownLine before there was one."""
    row = await tx.pg.fetchrow(_LINE, line_id, as_of)
    if row is None:
        raise UnknownLine(line_id=line_id)
    today = await tx.pg.fetchval(_DAY, as_of) or as_of.date()
    line = _row(row, today)
    terms = terms_of(line, ProgrammeTerms.model_validate(row["facts"]["terms"])).usual
    beside = terms.support.node_ids if terms.support else ()
    nodes = await _nodes(tx, [*(step.node_id for step in terms.path), *beside], row["currency"], as_of)
    return line, terms, nodes, today


def _row(row: Mapping[str, Any], today: date) -> dict[str, Any]:
    """Return a line as `line_terms` and `reading` read it; what prices follow from is not asked of the past."""
    facts = row["facts"]
    return {
        **dict(row),
        "programme_name": facts["name"],
        "anchor_id": facts["anchor_id"],
        "group_head_id": facts["group_head_id"],
        "anchor_spread": 0 if facts["anchor_rated"] else None,
        "own_spread": None,
        "anchor_known": facts["anchor_known"],
        "next_cap_minor": None,
        "sme_active": True,
        "programme_active": facts["active"],
        "valid_until": date.max,
        "expiry_date": date.max,
        "overdue": False,
        "deficient": False,
        "first_drawn_date": None,
        "repaid": 0,
        "last_repaid_date": None,
        "that_day": 0,
        "cover_version": 0,
        "today": today,
    }


async def _nodes(tx: Transaction, node_ids: Collection[str], currency: str, as_of: datetime) -> dict[str, Node]:
    names = list(node_ids)
    rows = await tx.pg.fetch("SELECT * FROM limit_node WHERE node_id = ANY($1)", names)
    sanctioned = await tx.pg.fetch(_SANCTIONED, names, as_of)
    moved = await tx.pg.fetch(_MOVED, DrawdownHeld.topic, as_of, list(TELLING), names)
    return undo(
        {row["node_id"]: node_of(row) for row in rows},
        [_moved(row, currency) for row in moved],
        sanctioned={row["node_id"]: row["sanctioned_minor"] for row in sanctioned},
    )


def _moved(row: Mapping[str, Any], currency: str) -> Moved:
    exposure = row["exposure_minor"]
    outstanding = 0 if row["outstanding"] is None else parse_minor(amount=row["outstanding"], currency=currency)
    is_held = row["state"] in {"held", "referred", "approved", "cancelling"}
    return Moved(
        path=stored_path(row["path"]),
        then=carried(row["type"], exposure=exposure, disbursed=row["disbursed_minor"], outstanding=outstanding),
        now=Carried(held=exposure if is_held else 0, utilised=0 if is_held else row["used_minor"]),
    )
