"""What a line may draw on, and how much (DOMAIN §3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar, Literal

from shared.values.money import Money
from shared.values.rates import share_of


class NotDrawable(Exception):
    """The line cannot be drawn now, with every reason why."""

    code: ClassVar[str] = "line_not_drawable"

    def __init__(self, *, reasons: Sequence[str]) -> None:
        """Keep the reasons."""
        self.reasons = list(reasons)
        super().__init__(f"The line cannot be drawn: {', '.join(self.reasons)}.")


class NotEligible(Exception):
    """A document cannot carry this drawdown, and why."""

    code: ClassVar[str] = "document_not_eligible"

    def __init__(self, *, document_id: str, reason: str) -> None:
        """Keep the document and the reason."""
        self.document_id = document_id
        self.reason = reason
        super().__init__(f"The document {document_id} cannot be financed: {reason}.")


class BaseExceeded(Exception):
    """The principal is above what the documents carry."""

    code: ClassVar[str] = "borrowing_base_exceeded"

    def __init__(self, *, most: Money, requested: Money, reason: str) -> None:
        """Keep the most that could be lent, what was asked, and which bound it is."""
        self.most = most
        self.requested = requested
        self.reason = reason
        super().__init__(f"The documents carry less than the drawdown asks for: {reason}.")


@dataclass(frozen=True, slots=True)
class LineState:
    """What decides whether a line is drawable; a firm that nobody registered yet is neither active nor not."""

    sme_active: bool | None
    programme_active: bool
    rated_until: date | None
    agreement_until: date | None
    overdue: bool


def why_not_drawable(line: LineState, *, on: date) -> list[str]:
    """Return every reason against drawing: who is not active, rated or signed, what expired, what is overdue (R17)."""
    reasons = []
    if line.sme_active is None:
        reasons.append("sme_not_registered")
    elif not line.sme_active:
        reasons.append("sme_suspended")
    if not line.programme_active:
        reasons.append("programme_not_active")
    if line.rated_until is None:
        reasons.append("unrated")
    elif line.rated_until < on:
        reasons.append("rating_expired")
    if line.agreement_until is None:
        reasons.append("agreement_not_signed")
    elif line.agreement_until < on:
        reasons.append("agreement_expired")
    if line.overdue:
        reasons.append("overdue")
    return reasons


@dataclass(frozen=True, slots=True)
class Financeable:
    """A document as credit knows it; amounts in minor units."""

    kind: Literal["receivable", "slice", "order", "goods"]
    document_id: str
    owner_id: str
    obligor_id: str
    eligible_minor: int
    currency: str
    due_date: date
    state: str
    confirmed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Drawer:
    """Who draws, and what of its programme decides what it may draw on."""

    enterprise_id: str
    anchor_id: str
    direction: str
    tier: int
    currency: str
    max_tenor_days: int
    buffer_days: int


def check_document(drawer: Drawer, document: Financeable, *, on: date) -> None:
    """Refuse a document of another firm, currency or obligor, one not confirmed, and one due too late; NotEligible.

    Upstream the drawer is the seller or holder and this anchor owes. Downstream the drawer owes the anchor's invoice or
    order. Goods are the drawer's own, and nobody else owes anything. Who confirms an order never draws on it: its own
    word would be all that stands behind the loan.
    """
    wanted = owner_and_obligor(drawer, on_claims=document.kind != "goods")
    if (document.owner_id, document.obligor_id) != wanted:
        reason = "not_your_document" if document.owner_id != wanted[0] else "obligor_not_of_this_programme"
        raise NotEligible(document_id=document.document_id, reason=reason)
    if document.confirmed_by == drawer.enterprise_id:
        raise NotEligible(document_id=document.document_id, reason="confirmed_by_its_drawer")
    if document.currency != drawer.currency:
        raise NotEligible(document_id=document.document_id, reason="currency_not_of_this_programme")
    if document.state != "free":
        raise NotEligible(document_id=document.document_id, reason=document.state)
    maturity = maturity_of([document], buffer_days=drawer.buffer_days)
    if document.due_date <= on:
        raise NotEligible(document_id=document.document_id, reason="already_due")
    if (maturity - on).days > drawer.max_tenor_days:
        raise NotEligible(document_id=document.document_id, reason="due_beyond_the_longest_tenor")


def owner_and_obligor(drawer: Drawer, *, on_claims: bool) -> tuple[str, str]:
    """Return whose the documents of a drawdown are, and who owes them."""
    if not on_claims:
        return drawer.enterprise_id, drawer.enterprise_id
    if drawer.direction == "upstream":
        return drawer.enterprise_id, drawer.anchor_id
    return drawer.anchor_id, drawer.enterprise_id


def maturity_of(documents: Sequence[Financeable], *, buffer_days: int) -> date:
    """Return the loan's maturity: the latest due date and the buffer after it (R15)."""
    return max(document.due_date for document in documents) + timedelta(days=buffer_days)


def borrowing_base(documents: Sequence[Financeable], *, advance_rate: int) -> int:
    """Return Σ eligible × advance rate, each rounded down: a document carries one financing, so none is advanced."""
    return sum(share_of(amount=document.eligible_minor, millionths=advance_rate) for document in documents)


def check_base(*, principal: Money, base_minor: int, largest_minor: int) -> None:
    """Refuse a principal above the borrowing base, or above what the payable covers with interest; BaseExceeded."""
    bounds = {"borrowing_base": base_minor, "principal_and_interest_exceed_payable": largest_minor}
    for reason, bound in bounds.items():
        if principal.amount_minor > bound:
            raise BaseExceeded(most=Money(bound, principal.currency), requested=principal, reason=reason)


def check_approval(*, freezes: Sequence[str], lost_documents: Sequence[str], principal: Money, base_minor: int) -> None:
    """Refuse to approve what is frozen or has lost its documents; NotDrawable, NotEligible, BaseExceeded (R12).

    Machine and persons alike are bound by it: documents that carry less than the principal now carry no loan.
    """
    if freezes:
        raise NotDrawable(reasons=freezes)
    if lost_documents:
        raise NotEligible(document_id=lost_documents[0], reason="withdrawn")
    check_base(principal=principal, base_minor=base_minor, largest_minor=base_minor)


def deficiency(*, principal_minor: int, eligible_minor: int, advance_rate: int) -> int:
    """Return max(0, principal − eligible × advance rate): what a dilution leaves uncovered (R6)."""
    return max(0, principal_minor - share_of(amount=eligible_minor, millionths=advance_rate))


def claim_on_seller(*, principal_minor: int, interest_minor: int, payable_minor: int, irrevocable: bool) -> int:
    """Return max(0, principal + interest − still payable), without recourse too; none under an undertaking (R6)."""
    return 0 if irrevocable else max(0, principal_minor + interest_minor - payable_minor)
