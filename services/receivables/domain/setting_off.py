"""Whether a receivable can fall by a set-off, and what is left of it (R7, R14)."""

from __future__ import annotations

from dataclasses import dataclass

from services.receivables.domain.assigning import Refusal
from services.receivables.domain.receivables import State
from shared.values.money import Money


@dataclass(frozen=True, slots=True)
class Claim:
    """A locked receivable as a set-off sees it: between whom, what is owed, and whatever binds it."""

    receivable_id: str
    seller_id: str
    obligor_id: str
    owed: Money
    state: str
    acknowledged: bool
    vouchered: bool
    disputed: bool


def why_not_set_off(
    claim: Claim | None, *, receivable_id: str, debtor_id: str, creditor_id: str, by: Money
) -> Refusal | None:
    """Return why a receivable cannot fall by this much, None when it can: only what both agree on and nobody holds."""
    if claim is None:
        return Refusal("unknown_receivable", f"There is no receivable {receivable_id}.")
    agreed = claim.state == State.CONFIRMED or (claim.state == State.VALIDATED and claim.acknowledged)
    foreign = (debtor_id, creditor_id) != (claim.obligor_id, claim.seller_id)
    above = claim.owed.currency != by.currency or not 0 < by.amount_minor <= claim.owed.amount_minor
    checks = (
        (claim.state in {State.ASSIGNED, State.FINANCED}, f"receivable_{claim.state}", f"is {claim.state}"),
        (claim.vouchered, "receivable_vouchered", "was replaced by a voucher"),
        (claim.disputed, "receivable_disputed", "is disputed"),
        (not agreed, "receivable_not_agreed", f"is {claim.state} and not agreed on by both"),
        (foreign, "foreign_receivable", "is between other parties"),
        (above, "receivable_changed", "does not owe that much any more"),
    )
    return next((Refusal(code, f"The receivable {receivable_id} {why}.") for fails, code, why in checks if fails), None)
