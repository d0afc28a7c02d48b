"""What a line's drawdowns stand on, read from credit's projections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from services.credit.domain.eligibility import Drawer
from services.credit.domain.offers import Terms
from services.credit.domain.paths import Place, path_of
from services.credit.domain.pricing import TrackRecord
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction
from shared.values.rates import parse_rate

_READ = """
SELECT l.line_id, l.enterprise_id, l.direction, l.tier, l.anchor_support, l.reasons, l.drawable,
    p.programme_id, p.anchor_id, p.group_head_id, p.currency, p.terms, n.version,
    coalesce(e.size_class, '') AS size_class, r.risk_spread AS own_spread, a.risk_spread AS anchor_spread,
    f.name IS NOT NULL AS anchor_known,
    t.first_drawn_date, coalesce(t.repaid, 0) AS repaid, t.last_repaid_date, coalesce(t.repaid_that_day, 0) AS that_day
FROM line l JOIN programme p USING (programme_id)
JOIN limit_node n ON n.node_id = 'programme/' || p.programme_id
LEFT JOIN enterprise e ON e.enterprise_id = l.enterprise_id
LEFT JOIN enterprise f ON f.enterprise_id = p.anchor_id
LEFT JOIN rating r ON (r.enterprise_id, r.currency) = (l.enterprise_id, p.currency)
LEFT JOIN rating a ON (a.enterprise_id, a.currency) = (p.anchor_id, p.currency)
LEFT JOIN track_record t ON t.enterprise_id = l.enterprise_id
WHERE l.line_id = ANY($1)
"""


class UnknownLine(LookupError):
    """No line has this id."""

    code: ClassVar[str] = "unknown_line"

    def __init__(self, *, line_id: str) -> None:
        """Keep the id asked for."""
        self.line_id = line_id
        super().__init__(f"There is no line {line_id}.")


async def read_terms(tx: Transaction, *, line_ids: Collection[str]) -> tuple[dict[str, Terms], dict[str, int]]:
    """Return the terms of lines by id, and the version of each of their programmes at which they hold."""
    rows = await tx.pg.fetch(_READ, list(line_ids))
    programmes: dict[str, ProgrammeTerms] = {}
    found = {}
    for row in rows:
        known = programmes.get(row["programme_id"]) or ProgrammeTerms.model_validate(row["terms"])
        programmes[row["programme_id"]] = known
        found[row["line_id"]] = _terms(row, known)
    return found, {row["programme_id"]: row["version"] for row in rows}


async def line_terms(tx: Transaction, *, line_id: str) -> Terms:
    """Return the terms of one line; UnknownLine when there is none."""
    found, _ = await read_terms(tx, line_ids=[line_id])
    if line_id not in found:
        raise UnknownLine(line_id=line_id)
    return found[line_id]


def _terms(row: Mapping[str, Any], programme: ProgrammeTerms) -> Terms:
    upstream = row["direction"] == "upstream"
    obligor_id = row["anchor_id"] if upstream else row["enterprise_id"]
    place = Place(
        line_id=row["line_id"],
        programme_id=row["programme_id"],
        enterprise_id=row["enterprise_id"],
        group_head_id=row["group_head_id"],
        direction=row["direction"],
        tier=row["tier"] or 1,
        currency=row["currency"],
        recourse=programme.recourse,
        anchor_support=row["anchor_support"],
    )
    return Terms(
        line_id=row["line_id"],
        programme_id=row["programme_id"],
        obligor_id=obligor_id,
        drawer=Drawer(
            enterprise_id=row["enterprise_id"],
            anchor_id=row["anchor_id"],
            direction=row["direction"],
            tier=place.tier,
            currency=row["currency"],
            max_tenor_days=programme.max_tenor_days,
            buffer_days=programme.buffer_days,
        ),
        path=path_of(place, obligor_id=obligor_id),
        not_drawable=_reasons(row, upstream=upstream),
        form="purchase" if upstream and not programme.recourse else "loan",
        advance_rate=parse_rate(programme.advance_rate),
        borrower_spread=row["own_spread"] or 0,
        obligor_spread=(row["anchor_spread"] if upstream else row["own_spread"]) or 0,
        anchor_spread=row["anchor_spread"] or 0,
        record=TrackRecord(row["first_drawn_date"], row["repaid"], row["last_repaid_date"], row["that_day"]),
        size_class=row["size_class"],
        interest_payer=programme.interest_payer,
        pricing_policy=programme.pricing_policy,
    )


def _reasons(row: Mapping[str, Any], *, upstream: bool) -> tuple[str, ...]:
    reasons = list(row["reasons"])
    if not row["drawable"] and not reasons:
        reasons.append("not_propagated_yet")
    if row["anchor_spread"] is None and upstream:
        reasons.append("anchor_unrated")
    if not row["anchor_known"]:
        reasons.append("anchor_unknown")
    return tuple(reasons)
