"""R17: with recourse, a line is frozen from the first day after grace until its last overdue loan is closed."""

from __future__ import annotations

import pytest

from services.credit.operations.drawdown_rows import UnknownDrawdown
from shared.events.envelope import Event
from shared.events.receivables import ReceivableDiluted
from shared.events.settlement import LoanClosed, LoanOverdue
from shared.values.ids import new_id
from tests.integration.credit.world import DUE, World, cny


def _overdue(loan_id: str, *, days: int = 4) -> Event:
    return LoanOverdue(loan_id=loan_id, days_past_due=days, outstanding=cny("1000.00"))


async def _lent(world: World, supplier: str, principal: str = "1000.00") -> str:
    drawdown = await world.held(supplier, principal)
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, principal))
    assert (await world.drawdown(drawdown))["state"] == "utilised"
    return drawdown


async def _settle(world: World, loan_id: str) -> None:
    await world.hear(world.repaid(loan_id, "1000.00"), LoanClosed(loan_id=loan_id, closed_date=DUE))


async def _is_drawable(world: World, supplier: str) -> bool:
    """Say what a draw meets; the line as it is shown must say the same."""
    line = await world.line_of(supplier)
    answer = await world.draw(supplier, [await world.receivable(supplier)], "1.00")
    if answer.status_code == 201:
        assert (line["drawable"], line["reasons"]) == (True, [])
        return True
    assert (answer.status_code, answer.json()["code"], answer.json()["reasons"]) == (
        409,
        "line_not_drawable",
        ["overdue"],
    )
    assert (line["drawable"], line["reasons"]) == (False, ["overdue"])
    return False


async def test_r17_an_overdue_loan_freezes_its_line_and_no_other_until_it_is_closed(world: World) -> None:
    await world.begin()
    late, punctual = await world.supplier(), await world.supplier()
    loan = await _lent(world, late)
    # The holds remember the line's terms by now.
    assert await _is_drawable(world, late)
    before = await world.line_of(late)
    await world.hear(_overdue(loan))
    assert not await _is_drawable(world, late)
    assert await _is_drawable(world, punctual)
    after = await world.line_of(late)
    assert (after["cap"], after["reserved"]) == (before["cap"], before["reserved"])
    await world.hear(world.repaid(loan, "400.00", outstanding="600.00"))
    assert not await _is_drawable(world, late)
    await world.hear(world.repaid(loan, "600.00"))
    assert not await _is_drawable(world, late), "interest is still owed"
    await world.hear(LoanClosed(loan_id=loan, closed_date=DUE))
    assert await _is_drawable(world, late)


async def test_r17_a_line_with_two_overdue_loans_opens_when_the_last_is_closed(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    first, second, punctual = [await _lent(world, supplier) for _ in range(3)]
    await world.hear_together([_overdue(first), _overdue(second)])
    await _settle(world, punctual)
    assert not await _is_drawable(world, supplier)
    await _settle(world, first)
    assert not await _is_drawable(world, supplier)
    await _settle(world, second)
    assert await _is_drawable(world, supplier)


async def test_r17_later_marks_of_the_same_delay_tell_nobody_anything_new(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    loan = await _lent(world, supplier)
    line = (await world.line_of(supplier))["line_id"]
    told = await world.told(line)
    await world.hear(*(_overdue(loan, days=days) for days in (4, 31, 91)))
    assert await world.told(line) == [*told, "line.changed"]
    await _settle(world, loan)
    assert await world.told(line) == [*told, "line.changed", "line.changed"]
    # A mark after the end, should there ever be one, freezes nothing for ever.
    await world.hear(_overdue(loan, days=91))
    assert await _is_drawable(world, supplier)


async def test_r17_without_recourse_the_sellers_line_is_not_frozen(world: World) -> None:
    await world.begin(recourse=False)
    supplier = await world.supplier()
    loan = await _lent(world, supplier)
    await world.hear(_overdue(loan))
    assert await _is_drawable(world, supplier)


async def test_r17_a_hold_that_meets_a_frozen_line_is_released_and_a_payment_under_way_goes_on(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    loan = await _lent(world, supplier)
    approved, held = await world.held(supplier, "1000.00"), await world.held(supplier, "1000.00")
    await world.hear(world.assigned(approved), _overdue(loan), world.assigned(held))
    found = await world.drawdown(held)
    assert (found["state"], found["reason"]) == ("released", "overdue")
    await world.hear(world.disbursed(approved, "1000.00"))
    assert (await world.drawdown(approved))["state"] == "utilised"


async def test_r17_nobody_approves_a_referral_on_a_frozen_line_until_it_opens(world: World) -> None:
    await world.begin(auto_approve_up_to=cny("1000.00"))
    supplier = await world.supplier()
    loan, referred = await _lent(world, supplier), await world.held(supplier, "1000.01")
    await world.hear(world.assigned(referred), _overdue(loan))
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        body = {"decision": "approve", "reason": "known customer"}
        proposed = await maker.post(f"/drawdowns/{referred}/decision", json=body)
        approval = proposed.json()["approval_id"]
        refused = await checker.post(f"/approvals/{approval}/approve")
        assert (refused.status_code, refused.json()["code"]) == (409, "line_not_drawable")
        assert refused.json()["reasons"] == ["overdue"]
        assert (await world.drawdown(referred))["state"] == "referred"
        await _settle(world, loan)
        assert (await checker.post(f"/approvals/{approval}/approve")).status_code == 200
    assert (await world.drawdown(referred))["state"] == "approved"


async def test_r17_a_loan_that_is_overdue_and_diluted_leaves_nothing_behind_when_it_is_closed(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="1250.00")
    loan = (await world.draw(supplier, [document], "1000.00")).json()["drawdown_id"]
    note = ReceivableDiluted(receivable_id=document, by=cny("250.00"), financeable=cny("1000.00"), reason="return")
    await world.hear(world.assigned(loan), world.disbursed(loan, "1000.00"), note, _overdue(loan))
    assert (await world.line_of(supplier))["reasons"] == ["overdue", "deficiency"]
    await _settle(world, loan)
    assert await _is_drawable(world, supplier)


async def test_r25_a_delay_of_an_unknown_loan_is_not_swallowed(world: World) -> None:
    await world.begin()
    with pytest.raises(UnknownDrawdown):
        await world.hear(_overdue(new_id()))
