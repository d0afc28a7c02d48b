"""Approve a drawdown: limits, freezes and eligibility are looked at again before money moves (R12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.credit.domain.blocks import BARS
from services.credit.domain.drawdowns import Input, outside_policy
from services.credit.domain.eligibility import BaseExceeded, NotDrawable, NotEligible, check_approval
from services.credit.domain.instructions import Payee, doubts
from services.credit.domain.offers import Terms
from services.credit.domain.support import on_cover
from services.credit.operations.drawdown_rows import Drawdown, Locked, lock_drawdowns
from services.credit.operations.line_terms import drawn_terms
from services.credit.operations.nodes import apply_generations
from services.credit.operations.plan_texts import plan_event
from shared.events.credit import DrawdownApproved, DrawdownReferred, Evidence
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction
from shared.values.money import Money
from shared.values.policies import policy_on
from shared.values.rates import rate_text, share_of

# A freeze revokes; other reasons that came since (an expired rating, another loan's lack) are a person's to weigh.
FREEZES = frozenset({"sme_suspended", "programme_not_active", "overdue", *BARS.values()})
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
    payee: Payee
    freezes: tuple[str, ...]
    lost_documents: tuple[str, ...]
    base_minor: int
    warnings: tuple[str, ...]
    deadline: datetime

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
    await apply_generations(tx, locked.nodes)
    terms = await drawn_terms(tx, {(each.line_id, each.product_version) for each in drawdowns})
    rows = await tx.pg.fetch(_PROGRAMMES, sorted({each.programme_id for each in drawdowns}))
    programmes = {row["programme_id"]: (row, ProgrammeTerms.model_validate(row["terms"])) for row in rows}
    rows = await tx.pg.fetch(
        """SELECT document_id, eligible_minor, document_state(d) AS state FROM document d
        WHERE document_id = ANY($1)""",
        sorted({document_id for each in drawdowns for document_id in each.document_ids}),
    )
    documents = {row["document_id"]: row for row in rows}
    payees = {party for each in terms.values() for party in (each.drawer.enterprise_id, each.drawer.anchor_id)}
    payees.update(each.payee["enterprise_id"] for each in drawdowns if each.payee)
    rows = await tx.pg.fetch(
        "SELECT enterprise_id, account FROM enterprise WHERE enterprise_id = ANY($1)", sorted(payees)
    )
    accounts = {row["enterprise_id"]: row["account"] for row in rows}
    return [
        _review(
            each,
            terms[each.line_id, each.product_version],
            *programmes[each.programme_id],
            documents,
            accounts,
            locked,
        )
        for each in drawdowns
    ]


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
    payee = Payee(**(drawdown.payee or {"enterprise_id": terms.payee_id, "account": accounts[terms.payee_id]}))
    warnings += doubts(payee, accounts, drawer_id=terms.drawer.enterprise_id)
    # On the rating alone nothing but the line carries it, which held it.
    base_minor = sum(share_of(amount=each["eligible_minor"], millionths=terms.advance_rate) for each in mine)
    return Review(
        drawdown=drawdown,
        terms=terms,
        programme=programme,
        payee=payee,
        freezes=tuple(sorted(FREEZES.intersection(terms.not_drawable))),
        lost_documents=tuple(each["document_id"] for each in mine if each["state"] != "free"),
        base_minor=base_minor + _on_cover(drawdown, terms) if mine else drawdown.principal_minor,
        warnings=tuple(warnings),
        deadline=row["now"] + timedelta(minutes=policy.values["referral_minutes"]),
    )


def _on_cover(drawdown: Drawdown, terms: Terms) -> int:
    """Return what cover carries in the documents' place; a pledge that the product needs stands beside them."""
    return 0 if terms.product.cover == "pledge" else on_cover(drawdown.path, drawdown.principal_minor)


def settle_reviews(locked: Locked, reviews: Sequence[Review]) -> None:
    """Approve, refer or release each drawdown whose documents are assigned, or that has none."""
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
        payee_id=reviewed.payee.enterprise_id,
        payee_account=reviewed.payee.account,
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
        product=drawdown.product,
        evidence=[Evidence.model_validate(each) for each in drawdown.evidence],
        plan=plan_event(drawdown.plan),
    )


async def review_held(tx: Transaction, *, drawdown_ids: Sequence[str]) -> None:
    """Approve what was just held without documents and stays inside policy, refer the rest."""
    if drawdown_ids:
        locked = await lock_drawdowns(tx, drawdown_ids=drawdown_ids)
        settle_reviews(locked, await review(tx, locked, list(locked.drawdowns.values())))
        await locked.save(tx, cause="drawdown.held")
