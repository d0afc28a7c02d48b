"""How much of an anchor's credit reaches the firms of a programme, over its open drawdowns (DOMAIN §4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from services.credit.domain.pass_through import PassThrough, Weighed, anchor_rate, stand_alone, weigh
from services.credit.domain.pricing import LONGEST_SHORT_TENOR_DAYS, TrackRecord
from services.credit.operations.price_policies import price_policy
from services.credit.operations.product_policies import drawn_product
from services.credit.queries.reading import UnknownProgramme
from shared.storage.database import Database
from shared.values.money import Money
from shared.values.rates import rate_text

_PROGRAMME = """
SELECT p.anchor_id, p.currency, p.terms ->> 'pricing_policy' AS policy, p.terms ->> 'interest_payer' AS interest_payer,
    a.risk_spread AS anchor_spread
FROM programme p LEFT JOIN rating a ON (a.enterprise_id, a.currency) = (p.anchor_id, p.currency)
WHERE p.programme_id = $1
"""
# What is open, summed by whatever prices alike: whose it is, its product, the day it was drawn, which LPR it takes.
_OPEN = """
WITH open AS MATERIALIZED (
    SELECT w.line_id, w.product_version, w.start_date, w.maturity_date - w.start_date > $2 AS long, count(*) AS many,
        sum(w.outstanding_minor)::numeric AS volume, sum(w.outstanding_minor::numeric * w.rate) AS weighted
    FROM drawdown w WHERE w.programme_id = $1 AND w.state = 'utilised' AND w.outstanding_minor > 0
    GROUP BY 1, 2, 3, 4)
SELECT o.product_version, o.start_date, o.long, o.many, o.volume, o.weighted, l.tier, l.direction, e.size_class,
    r.risk_spread, t.first_drawn_date, t.repaid, t.last_repaid_date, t.repaid_that_day
FROM open o JOIN line_now l USING (line_id) JOIN programme p ON p.programme_id = $1
LEFT JOIN enterprise e ON e.enterprise_id = l.enterprise_id
LEFT JOIN rating r ON (r.enterprise_id, r.currency) = (l.enterprise_id, p.currency)
LEFT JOIN track_record t ON t.enterprise_id = l.enterprise_id
"""
ASSUMPTIONS = (
    "stand-alone: unsecured, on the firm's own grade of today, by the price list and LPR of the day it drew",
    "the anchor's own rate: unsecured, on its grade of today, as a large borrower of long standing",
    "every rate is weighted by outstanding principal",
)


async def pass_through(database: Database, *, programme_id: str) -> dict[str, Any]:
    """Return a programme's pass-through, whole and by tier; UnknownProgramme when there is none."""
    async with database.snapshot() as tx:
        programme = await tx.pg.fetchrow(_PROGRAMME, programme_id)
        if programme is None:
            raise UnknownProgramme(programme_id=programme_id)
        rows = await tx.pg.fetch(_OPEN, programme_id, LONGEST_SHORT_TENOR_DAYS)
    rated = [row for row in rows if row["risk_spread"] is not None and programme["anchor_spread"] is not None]
    tiers: dict[tuple[str, int], list[tuple[int, Weighed]]] = defaultdict(list)
    for row in rated:
        tiers[row["direction"], row["tier"] or 0].append((row["many"], _measured(programme, row)))
    currency = programme["currency"]
    return {
        "programme_id": programme_id,
        **_wire((each for part in tiers.values() for each in part), currency),
        "tiers": [
            {"direction": direction, "tier": tier, **_wire(tiers[direction, tier], currency)}
            for direction, tier in sorted(tiers)
        ],
        "unmeasured_drawdowns": sum(row["many"] for row in rows) - sum(row["many"] for row in rated),
        "assumptions": list(ASSUMPTIONS),
    }


def _measured(programme: Mapping[str, Any], row: Mapping[str, Any]) -> Weighed:
    volume, on = int(row["volume"]), row["start_date"]
    policy = price_policy(name=programme["policy"], on=on)
    days = LONGEST_SHORT_TENOR_DAYS + row["long"]
    record = TrackRecord(
        row["first_drawn_date"], row["repaid"] or 0, row["last_repaid_date"], row["repaid_that_day"] or 0
    )
    alone = stand_alone(
        policy,
        own_spread=row["risk_spread"],
        record=record,
        size_class=row["size_class"] or "",
        on=on,
        tenor_days=days,
    )
    # Where the anchor bears the interest, the firm itself pays none.
    offered = round(row["weighted"] / row["volume"]) if _pays_interest(programme, row) else 0
    anchor = anchor_rate(policy, anchor_spread=programme["anchor_spread"], on=on, tenor_days=days)
    return Weighed(volume, PassThrough(offered=offered, stand_alone=alone.rate, anchor=anchor))


def _pays_interest(programme: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Return whether the firm itself pays the interest: as its product says, or else as the programme does."""
    drawn = drawn_product(version=row["product_version"])
    return drawn.pays_interest(agreed=programme["interest_payer"]) == "seller"


def _wire(parts: Iterable[tuple[int, Weighed]], currency: str) -> dict[str, Any]:
    given = list(parts)
    found = weigh(each for _, each in given)
    told: dict[str, Any] = {
        "drawdowns": sum(many for many, _ in given),
        "outstanding": Money(found.volume_minor if found else 0, currency).wire(),
    }
    rates = found.measured if found else None
    share = rates.share if rates else None
    return {
        **told,
        "rate": rate_text(rates.offered) if rates else None,
        "stand_alone_rate": rate_text(rates.stand_alone) if rates else None,
        "anchor_rate": rate_text(rates.anchor) if rates else None,
        "passed_through": rate_text(rates.passed_through) if rates else None,
        "passed_through_share": None if share is None else rate_text(share),
    }
