"""Record a rating with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from services.risk.domain.ratings import check_rating
from shared.events.risk import RatingRecorded
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database
from shared.values.ids import new_id, parse_id
from shared.values.money import Amount
from shared.values.rates import parse_rate, rate_text


async def record_rating(
    database: Database,
    *,
    enterprise_id: str,
    grade: str,
    cap: Amount,
    multiplier: str,
    risk_spread: str,
    reasons: Sequence[str],
    valid_until: date,
    actor: str,
) -> str:
    """Record what a risk officer decided; the last rating of a firm and currency counts; return its id."""
    enterprise_id = parse_id(enterprise_id)
    factor, spread = parse_rate(multiplier), parse_rate(risk_spread)
    check_rating(grade=grade, cap_minor=cap.minor, multiplier=factor, risk_spread=spread, reasons=reasons)
    rating_id = new_id()
    async with database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO rating (rating_id, enterprise_id, currency, cap_minor, grade, multiplier, risk_spread,
                reasons, valid_until, recorded_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
            *(rating_id, enterprise_id, cap.currency, cap.minor, grade, rate_text(factor), rate_text(spread)),
            *(list(reasons), valid_until, actor),
        )
        event = RatingRecorded(
            enterprise_id=enterprise_id,
            grade=grade,
            cap=cap,
            multiplier=rate_text(factor),
            risk_spread=rate_text(spread),
            reasons=list(reasons),
            valid_until=valid_until,
            policy_version="officer",
        )
        await append(tx, [event], source="risk")
        facts = {"grade": grade, "cap": cap.model_dump(), "reasons": list(reasons)}
        await record(tx, [Entry(actor, "rating.recorded", enterprise_id, facts)])
    return rating_id
