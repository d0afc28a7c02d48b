"""Approve a drawdown: limits, freezes and eligibility are looked at again before money moves (R12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.credit.domain.drawdowns import Input, outside_policy
from services.credit.domain.eligibility import BaseExceeded, NotDrawable, NotEligible, check_approval
from services.credit.domain.offers import Terms
from services.credit.operations.drawdown_rows import Drawdown, Locked
from services.credit.operations.line_terms import LineTerms, read_lines
from shared.events.credit import DrawdownApproved, DrawdownReferred
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction
from shared.values.money import Money
from shared.values.policies import policy_on
from shared.values.rates import rate_text, share_of

# A freeze revokes; other reasons that came since (an expired rating, another loan's lack) are a person's to weigh.
FREEZES = frozenset({"sme_suspended", "programme_not_active", "overdue"})
WITHDRAWN = "documents_withdrawn"
_PROGRAMMES = """
SELECT p.programme_id, p.terms, coalesce((SELECT open_date FROM book), current_date) AS today,
    clock_timestamp() AS now FROM programme p WHERE programme_id = ANY($1)
"""


@dataclass(frozen=True, slots=True)
class Review:
    """What was found of a drawdown before its approval."""

    drawdown: Drawdown
    terms: Terms
    programme: ProgrammeTerms
    payee_account: str
    freezes: tuple[str, ...]
    lost_documents: tuple[str, ...]
    base_minor: int
    warnings: tuple[str, ...]
    deadline: datetime

    @property
    def payee_id(self) -> str:
        """Return who gets the money: whom the product pays."""
        return self.terms.payee_id

    def check(self) -> None:
        """Refuse what neither the policy nor a person may approve; NotDrawable, NotEligible, BaseExceeded."""
        check_approval(
            freezes=self.freezes,
            lost_documents=self.lost_documents,
            principal=Money(self.drawdown.principal_minor, self.drawdown.currency),
            base_minor=self.base_minor,
        )


async def review(tx: Transaction, locked: Locked, drawdowns: Sequence[Drawdown]) -> list[Review]:
    """Read again what each locked drawdown stands on."""
    if not drawdowns:
        return []
    lines, _ = await read_lines(tx, line_ids={each.line_id for each in drawdowns})
    rows = await tx.pg.fetch(_PROGRAMMES, sorted({each.programme_id for each in drawdowns}))
    programmes = {row["programme_id"]: (row, ProgrammeTerms.model_validate(row["terms"])) for row in rows}
    rows = await tx.pg.fetch(
        """SELECT document_id, eligible_minor, document_state(d) AS state FROM document d
        WHERE document_id = ANY($1)""",
        sorted({document_id for each in drawdowns for document_id in each.document_ids}),
    )
    documents = {row["document_id"]: row for row in rows}
    payees = {party for line in lines.values() for party in line.parties}
    rows = await tx.pg.fetch(
        "SELECT enterprise_id, account FROM enterprise WHERE enterprise_id = ANY($1)", sorted(payees)
    )
    accounts = {row["enterprise_id"]: row["account"] for row in rows}
    return [
        _review(each, _terms_of(each, lines), *programmes[each.programme_id], documents, accounts, locked)
        for each in drawdowns
    ]


def _terms_of(drawdown: Drawdown, lines: Mapping[str, LineTerms]) -> Terms:
    return lines[drawdown.line_id].of(drawdown.product)


def _review(  # noqa: PLR0917 - private, and called once
    drawdown: Drawdown,
    terms: Terms,
    row: Mapping[str, Any],
    programme: ProgrammeTerms,
    documents: Mapping[str, Mapping[str, Any]],
    accounts: Mapping[str, str],
    locked: Locked,
) -> Review:
    policy = policy_on(programme.propagation_policy, on=row["today"])
    mine = [documents[document_id] for document_id in drawdown.document_ids]
    warnings = [reason for reason in terms.not_drawable if reason not in FREEZES]
    if any(locked.nodes[step.node_id].shortfall for step in drawdown.path):
        warnings.append("limit_cut_below_use")
    return Review(
        drawdown=drawdown,
        terms=terms,
        programme=programme,
        payee_account=accounts[terms.payee_id],
        freezes=tuple(sorted(FREEZES.intersection(terms.not_drawable))),
        lost_documents=tuple(each["document_id"] for each in mine if each["state"] != "free"),
        base_minor=sum(share_of(amount=each["eligible_minor"], millionths=terms.advance_rate) for each in mine),
        warnings=tuple(warnings),
        deadline=row["now"] + timedelta(minutes=policy.values["referral_minutes"]),
    )


def settle_reviews(locked: Locked, reviews: Sequence[Review]) -> None:
    """Approve, refer or release each drawdown whose documents are assigned."""
    for each in reviews:
        drawdown = each.drawdown
        try:
            each.check()
        except NotDrawable as frozen:
            locked.advance(drawdown, Input.BLOCK, reason=",".join(frozen.reasons))
            continue
        except NotEligible:
            locked.advance(drawdown, Input.WITHDRAWN, reason=WITHDRAWN)
            continue
        except BaseExceeded as exceeded:
            locked.advance(drawdown, Input.WITHDRAWN, reason=exceeded.code)
            continue
        reasons = outside_policy(
            principal_minor=drawdown.principal_minor,
            auto_approve_minor=each.programme.auto_approve_up_to.minor,
            warnings=each.warnings,
        )
        if reasons:
            drawdown.expires_at = each.deadline
            locked.advance(drawdown, Input.ASSIGNED_OUTSIDE_POLICY, reason=",".join(reasons))
            locked.events.append(DrawdownReferred(drawdown_id=drawdown.drawdown_id, reasons=reasons))
        else:
            locked.advance(drawdown, Input.ASSIGNED)
            locked.events.append(approval_of(each))


def approval_of(reviewed: Review) -> DrawdownApproved:
    """Return everything that settlement needs to pay out and to collect."""
    drawdown, programme = reviewed.drawdown, reviewed.programme
    return DrawdownApproved(
        drawdown_id=drawdown.drawdown_id,
        form=drawdown.form,
        programme_id=drawdown.programme_id,
        enterprise_id=drawdown.enterprise_id,
        obligor_id=drawdown.obligor_id,
        payee_id=reviewed.payee_id,
        payee_account=reviewed.payee_account,
        collection_account=programme.collection_account,
        principal=drawdown.amount(drawdown.principal_minor),
        face=drawdown.amount(drawdown.face_minor),
        fee=drawdown.amount(drawdown.fee_minor),
        rate=rate_text(drawdown.rate),
        penalty_rate=rate_text(drawdown.penalty_rate),
        day_count=drawdown.day_count,
        interest_payer=reviewed.terms.interest_payer,
        document_due_date=drawdown.due_date,
        maturity_date=drawdown.maturity_date,
        grace_days=programme.grace_days,
        recourse=reviewed.terms.recourse,
        purpose=drawdown.purpose,
        policy_version=drawdown.policy_version,
    )
