"""Whether documents can be assigned to a drawdown, and what the obligor is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from services.receivables.domain.goods import State as GoodsState
from services.receivables.domain.receivables import State
from services.receivables.domain.slices import SliceState
from shared.values.money import Money


def claim_asset(*, seller_id: str, number_key: str, issue_year: int) -> str:
    """Return how the registry names a receivable: by its claim (R8), whatever its id here."""
    return f"receivable/{seller_id}/{number_key}/{issue_year}"


def slice_asset(*, slice_id: str) -> str:
    """Return how the registry names a slice."""
    return f"slice/{slice_id}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a drawdown gets no documents."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A locked document: who may draw on it, who owes it, what of it can be financed, where it stands."""

    document_id: str
    asset: str
    label: str
    drawers: frozenset[str]
    obligor_id: str
    financeable: Money
    state: str
    vouchered: bool = False
    disputed: bool = False
    unmatched: bool = False
    held_back: bool = False


_FREE = {State.CONFIRMED.value, SliceState.LIVE.value, GoodsState.PLEDGED.value}
_IN_USE = {"assigned", "financed", "settled", "paid"}


def why_not(
    candidate: Candidate | None, *, document_id: str, amount: Money, enterprise_id: str, obligor_id: str
) -> Refusal | None:
    """Return why a document cannot be assigned for this amount, None when it can; one active financing ever."""
    if candidate is None:
        return Refusal("unknown_document", f"There is no document {document_id}.")
    carried = candidate.financeable
    foreign = enterprise_id not in candidate.drawers or obligor_id != candidate.obligor_id
    above = not 0 < amount.amount_minor <= carried.amount_minor
    checks = (
        (candidate.state in _IN_USE, "document_in_use", f"The document {document_id} is {candidate.state} already."),
        (candidate.vouchered, "document_vouchered", f"A voucher replaced the document {document_id}."),
        (candidate.disputed, "document_disputed", f"The document {document_id} is disputed."),
        (candidate.unmatched, "document_unmatched", f"The document {document_id} does not match its order."),
        (candidate.held_back, "document_held_back", f"A person of the bank must look at the document {document_id}."),
        (candidate.state not in _FREE, "document_not_free", f"The document {document_id} is {candidate.state}."),
        (foreign, "foreign_document", f"The document {document_id} is between other parties."),
        (amount.currency != carried.currency, "currency_mismatch", f"{document_id} is in {carried.currency}."),
        (above, "amount_not_financeable", f"The document {document_id} does not carry that amount."),
    )
    return next((Refusal(code, reason) for fails, code, reason in checks if fails), None)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the obligor is told, and the digest that proves it (Civil Code 546)."""

    body: str
    digest: str


def write_notice(
    *,
    drawdown_id: str,
    obligor_id: str,
    collection_account: str,
    documents: Sequence[tuple[str, Money]],
    reference: str,
) -> Notice:
    """Return the notice: from now on only payment to the collection account discharges the obligor (R9)."""
    lines = [
        "Notice of assignment of receivables",
        f"To: {obligor_id}",
        f"Drawdown: {drawdown_id}",
        f"Registry filing: {reference}",
        f"Pay only to the collection account: {collection_account}",
        *(f"- {label}: {' '.join(amount.wire().values())}" for label, amount in documents),
    ]
    body = "\n".join(lines) + "\n"
    return Notice(body, sha256(body.encode()).hexdigest())
