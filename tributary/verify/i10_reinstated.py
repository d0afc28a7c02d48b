"""I10: Σ repaid principal in settlement = Σ reinstated in credit, net of reversals, drawdown by drawdown (R11).

And Σ instalments = principal, Σ what is open of each = what is open of the loan (R3).
"""

from __future__ import annotations

from tributary.verify.loan_fold import Fold, Pair, drawdowns_and_loans
from tributary.verify.result import Result
from tributary.verify.snapshots import World

NAME = "repaid = reinstated"


async def check(world: World) -> Result:
    """Compare credit with settlement's outbox up to credit's heads, and that outbox with settlement's own books."""
    result = Result()
    async for pair in drawdowns_and_loans(world):
        result.checked += 1
        pair.fly(world, result)
        wrong = _credit_differs(pair) or _settlement_differs(pair)
        if wrong:
            result.violate(f"loan {pair.name}: {wrong}")
    return result


def _credit_differs(pair: Pair) -> str | None:
    drawdown, heard = pair.drawdown, pair.heard
    if drawdown["reinstated"] != heard.repaid:
        return f"{heard.repaid} repaid, {drawdown['reinstated']} reinstated"
    if drawdown["reinstatements"] != heard.repayments:
        return f"{heard.repayments} repayments, {drawdown['reinstatements']} reinstatements"
    if heard.disbursed is not None and drawdown["reinstated_exposure"] != (
        drawdown["exposure_minor"] - drawdown["used_minor"]
    ):
        return f"{drawdown['reinstated_exposure']} of the exposure reinstated, {drawdown['used_minor']} still used"
    return None


def _settlement_differs(pair: Pair) -> str | None:
    if pair.loan is None:
        return "settlement spoke of it and does not have it" if pair.said != Fold() else None
    if pair.loan["outstanding_minor"] != pair.said.left:
        return f"{pair.loan['outstanding_minor']} open, settlement's own events leave {pair.said.left}"
    if pair.loan["booked"] != pair.loan["outstanding_minor"]:
        return f"{pair.loan['outstanding_minor']} open, {pair.loan['booked']} in the ledger"
    if pair.loan["planned"] != pair.loan["principal_minor"]:
        return f"{pair.loan['principal_minor']} lent, {pair.loan['planned']} in its instalments"
    if pair.loan["by_instalment"] != pair.loan["outstanding_minor"]:
        return f"{pair.loan['outstanding_minor']} open, {pair.loan['by_instalment']} of its instalments"
    return None
