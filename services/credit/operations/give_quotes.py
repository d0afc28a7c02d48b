"""Give a quote: the price of a drawdown that binds the bank for its validity (DOMAIN §4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from services.credit.domain.eligibility import Financeable, NotEligible
from services.credit.domain.instructions import NO_INSTRUCTION, Instruction
from services.credit.domain.offers import Cost, DocumentInUse, Offer, Terms, cost_of, offer
from services.credit.domain.pass_through import stand_alone
from services.credit.domain.pricing import Price, PricePolicy
from services.credit.operations.line_terms import line_terms
from services.credit.operations.plan_texts import plan_name, repayment_of
from services.credit.operations.price_policies import price_policy
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id
from shared.values.money import Money
from shared.values.rates import basis_points, rate_text
from shared.web.auth import Caller, own_party

_DOCUMENTS = """
SELECT d.kind, d.document_id, d.owner_id, d.obligor_id, d.eligible_minor, d.currency, d.due_date,
    document_state(d) AS state, d.confirmed_by, u.drawdown_id IS NOT NULL AS in_use
FROM document d LEFT JOIN document_use u USING (document_id) WHERE d.document_id = ANY($1)
"""


async def give_quote(
    database: Database,
    *,
    line_id: str,
    documents: Sequence[tuple[str, str]],
    principal: Money,
    caller: Caller,
    asked: Instruction = NO_INSTRUCTION,
) -> dict[str, Any]:
    """Price a drawdown and keep the price until the quote expires; nothing is held.

    So does the plan that was asked for: a drawdown under it is billed by its instalments.
    """
    async with database.transaction() as tx:
        line = await line_terms(tx, line_id=line_id)
        own_party(caller, line.usual.drawer.enterprise_id)
        terms = line.choose(named=asked.product, kinds=[kind for kind, _ in documents])
        now, today = await _now_and_today(tx)
        policy = price_policy(name=terms.pricing_policy, on=today)
        found = await _documents(tx, documents)
        offered = offer(
            terms,
            found,
            principal=principal,
            policy=policy,
            on=today,
            tenor_days=asked.tenor_days,
            plan=asked.plan,
        )
        cost = cost_of(terms, offered, policy)
        valid_until = now + timedelta(minutes=policy.quote_minutes)
        quote = {"quote_id": new_id(), **_wire(terms, offered, cost, policy), "valid_until": valid_until.isoformat()}
        if offered.repayment is not None:
            quote["repayment"] = repayment_of(offered.repayment, currency=principal.currency)
        await tx.pg.execute(
            """INSERT INTO quote (quote_id, line_id, documents, principal_minor, rate, penalty_rate, fee_minor,
                policy_version, body, valid_until, product, tenor_days, plan)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)""",
            *(quote["quote_id"], line_id, sorted(document_id for _, document_id in documents)),
            *(principal.amount_minor, offered.price.rate, offered.price.penalty_rate, offered.fee_minor),
            *(policy.version, json.dumps(quote), valid_until, terms.product.name, asked.tenor_days),
            plan_name(offered.repayment),
        )
    return quote


async def _now_and_today(tx: Transaction) -> tuple[datetime, date]:
    (row,) = await tx.pg.fetch("SELECT clock_timestamp(), coalesce((SELECT open_date FROM book), current_date)")
    return row[0], row[1]


async def _documents(tx: Transaction, named: Sequence[tuple[str, str]]) -> list[Financeable]:
    rows = await tx.pg.fetch(_DOCUMENTS, [document_id for _, document_id in named])
    known = {(row["kind"], row["document_id"]): row for row in rows}
    found = []
    for name in named:
        row = known.get(name)
        if row is None:
            raise NotEligible(document_id=name[1], reason="unknown")
        if row["in_use"]:
            raise DocumentInUse(document_id=name[1])
        found.append(Financeable(*tuple(row)[:9]))
    return found


def _meter(terms: Terms, offered: Offer, policy: PricePolicy) -> dict[str, Any]:
    """Return what the firm would pay alone; its share of the anchor's advantage would tell the anchor's rate (R23)."""
    days = (offered.maturity_date - offered.start_date).days
    alone = stand_alone(
        policy,
        own_spread=terms.borrower_spread,
        record=terms.record,
        size_class=terms.size_class,
        on=offered.start_date,
        tenor_days=days,
    )
    # Where the anchor bears the interest, the firm itself pays none.
    paid = offered.price.rate if terms.interest_payer == "seller" else 0
    return {
        "stand_alone_rate": rate_text(alone.rate),
        "stand_alone_components": _components(alone),
        "passed_through": rate_text(alone.rate - paid),
    }


def _components(priced: Price) -> list[dict[str, str]]:
    return [
        {"name": name, "rate": rate_text(rate), "basis_points": basis_points(rate)} for name, rate in priced.components
    ]


def _wire(terms: Terms, offered: Offer, cost: Cost, policy: PricePolicy) -> dict[str, Any]:
    currency = terms.drawer.currency
    return {
        "line_id": terms.line_id,
        "product": terms.product.name,
        "form": terms.form,
        "principal": offered.principal.wire(),
        "face": offered.face.wire(),
        "on_cover": Money(offered.on_cover_minor, currency).wire(),
        "components": _components(offered.price),
        "rate": rate_text(offered.price.rate),
        "penalty_rate": rate_text(offered.price.penalty_rate),
        "all_in_rate": rate_text(cost.all_in_rate),
        "interest": Money(cost.interest_minor, currency).wire(),
        "fee": Money(cost.fee_minor, currency).wire(),
        "paid_out": Money(cost.paid_out_minor, currency).wire(),
        "due_date": offered.due_date.isoformat(),
        "maturity_date": offered.maturity_date.isoformat(),
        "tenor_days": (offered.maturity_date - offered.start_date).days,
        "policy_version": policy.version,
        "lpr_version": policy.lpr_version,
        **_meter(terms, offered, policy),
    }
