"""Record what a dilution, or goods that fell, leave uncovered, and end it with its drawdown (R6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from services.credit.domain.eligibility import claim_on_seller, deficiency
from services.credit.domain.paths import stored_path
from services.credit.domain.pricing import discount
from services.credit.domain.products import Product
from services.credit.domain.support import on_cover
from services.credit.domain.top_ups import called, goods_for
from services.credit.operations.product_policies import drawn_product
from services.credit.operations.propagate_limits import propagate_limits
from shared.events.credit import DrawdownTopUpDue, DrawdownTopUpEnded
from shared.events.envelope import Event
from shared.messaging.outbox import append
from shared.storage.database import Transaction
from shared.values.money import Amount
from shared.values.periods import DayCount
from shared.values.policies import policy_on
from shared.values.rates import parse_rate

# Open drawdowns with all that their documents are still worth, and what was noted of them before.
_STANDING = """
SELECT w.drawdown_id, w.line_id, w.programme_id, w.form, w.principal_minor, w.outstanding_minor, w.state, w.rate,
    w.day_count, w.start_date, w.maturity_date, w.product_version, w.path, w.enterprise_id, w.currency,
    coalesce((SELECT open_date FROM book), current_date) AS today, p.terms->>'advance_rate' AS advance_rate,
    sum(d.eligible_minor)::bigint AS eligible, bool_or(d.irrevocable) AS irrevocable,
    coalesce((SELECT ROW(f.deficiency_minor, f.claim_minor, f.top_up_minor) FROM deficiency f
        WHERE f.drawdown_id = w.drawdown_id), ROW(0::bigint, 0::bigint, 0::bigint)) AS noted
FROM drawdown w JOIN programme p USING (programme_id)
JOIN document_use u USING (drawdown_id) JOIN document d USING (document_id)
WHERE w.drawdown_id = ANY($1) AND w.state IN ('held', 'referred', 'approved', 'cancelling', 'utilised')
GROUP BY w.drawdown_id, p.programme_id ORDER BY w.drawdown_id
"""
_NOTE = """
INSERT INTO deficiency (drawdown_id, line_id, deficiency_minor, claim_minor, top_up_minor) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (drawdown_id) DO UPDATE SET deficiency_minor = excluded.deficiency_minor,
    claim_minor = excluded.claim_minor, top_up_minor = excluded.top_up_minor, noted_at = clock_timestamp()
"""

_LACKING = "SELECT drawdown_id FROM deficiency WHERE drawdown_id = ANY($1) AND deficiency_minor + claim_minor > 0"


async def note_deficiencies(
    tx: Transaction, *, drawdown_ids: Collection[str], cause: str = "receivable.diluted"
) -> None:
    """Record what drawdowns lack, where that is new; a line with a deficiency draws no more.

    A loan whose goods lack too much of what it needs is called for more security.
    """
    rows = await tx.pg.fetch(_STANDING, list(drawdown_ids))
    found = [(row, _lacking(row)) for row in rows]
    changed = [(row, lacks) for row, lacks in found if astuple(lacks) != tuple(row["noted"])]
    if changed:
        await tx.pg.executemany(
            _NOTE, [(row["drawdown_id"], row["line_id"], *astuple(lacks)) for row, lacks in changed]
        )
        said = [event for row, lacks in changed for event in _said(row, lacks)]
        await append(tx, said, source="credit")
        programmes = [row["programme_id"] for row, _ in changed]
        await propagate_limits(tx, programme_ids=programmes, cause=cause)


async def lessen_deficiencies(tx: Transaction, *, drawdown_ids: Collection[str], cause: str) -> None:
    """Record anew what drawdowns lack of which something was repaid. `lock_drawdowns` has locked their programmes."""
    rows = await tx.pg.fetch(_LACKING, list(drawdown_ids))
    if rows:
        await note_deficiencies(tx, drawdown_ids=[row["drawdown_id"] for row in rows], cause=cause)


async def end_deficiencies(tx: Transaction, *, drawdown_ids: Collection[str], cause: str) -> None:
    """End what ended drawdowns lacked: their lines may draw again. `lock_drawdowns` has locked their programmes."""
    rows = await tx.pg.fetch(
        """UPDATE deficiency f SET deficiency_minor = 0, claim_minor = 0, top_up_minor = 0 FROM drawdown w
        WHERE f.drawdown_id = w.drawdown_id AND f.drawdown_id = ANY($1) AND f.deficiency_minor + f.claim_minor > 0
        RETURNING w.programme_id""",
        list(drawdown_ids),
    )
    if rows:
        await propagate_limits(tx, programme_ids=[row["programme_id"] for row in rows], cause=cause)


@dataclass(frozen=True, slots=True)
class _Lacks:
    """What a drawdown lacks, what of it its seller owes (R6), and how much more security is called for."""

    deficiency_minor: int = 0
    claim_minor: int = 0
    top_up_minor: int = 0


def _lacking(row: Mapping[str, Any]) -> _Lacks:
    """Return what a drawdown lacks; under an irrevocable undertaking the obligor pays face, so nothing arises."""
    if row["irrevocable"]:
        return _Lacks()
    principal = row["outstanding_minor"] if row["state"] == "utilised" else row["principal_minor"]
    drawn = drawn_product(version=row["product_version"])
    if drawn.cover != "pledge":
        # What cover carries the documents never did; a pledge that the product needs stands beside them.
        principal -= on_cover(stored_path(row["path"]), principal)
    lacking = deficiency(
        principal_minor=principal,
        eligible_minor=row["eligible"],
        advance_rate=min(parse_rate(row["advance_rate"]), drawn.advance_rate),
    )
    if not drawn.on_claims:
        # Of goods nobody owes anything: what they do not carry the borrower owes as it is.
        return _Lacks(lacking, 0, _called(row, lacking, drawn) if row["state"] == "utilised" else 0)
    # A purchase kept its discount back; what the obligor owes includes it.
    interest = discount(
        face_minor=principal if row["form"] == "loan" else 0,
        rate=row["rate"],
        start=row["start_date"],
        end=row["maturity_date"],
        day_count=DayCount(row["day_count"]),
    )
    claim = claim_on_seller(
        principal_minor=principal, interest_minor=interest, payable_minor=row["eligible"], irrevocable=False
    )
    return _Lacks(lacking, claim)


def _called(row: Mapping[str, Any], lacking_minor: int, drawn: Product) -> int:
    """Return for how much more security a loan on goods is called; one on nothing has none to lose."""
    if drawn.cover != "goods":
        return 0
    above = parse_rate(policy_on("goods", on=row["today"]).values["top_up_above"])
    principal_minor, asked_minor = row["outstanding_minor"], row["noted"][2]
    return called(lacking_minor=lacking_minor, principal_minor=principal_minor, above=above, asked_minor=asked_minor)


def _said(row: Mapping[str, Any], lacks: _Lacks) -> list[Event]:
    """Return what is told of a call for more security: that it is due, for more than before, or over."""
    asked_minor, currency = row["noted"][2], row["currency"]
    if lacks.top_up_minor > asked_minor:
        drawn = drawn_product(version=row["product_version"])
        rate = min(parse_rate(row["advance_rate"]), drawn.advance_rate)
        return [
            DrawdownTopUpDue(
                drawdown_id=row["drawdown_id"],
                enterprise_id=row["enterprise_id"],
                lacking=Amount.of(amount_minor=lacks.top_up_minor, currency=currency),
                goods=Amount.of(
                    amount_minor=goods_for(lacking_minor=lacks.top_up_minor, advance_rate=rate), currency=currency
                ),
                outstanding=Amount.of(amount_minor=row["outstanding_minor"], currency=currency),
            )
        ]
    if asked_minor and not lacks.top_up_minor:
        return [DrawdownTopUpEnded(drawdown_id=row["drawdown_id"], enterprise_id=row["enterprise_id"])]
    return []
