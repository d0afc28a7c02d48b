"""What is paid on a document, and what is taken back, in credit (R6, R7, R9)."""

from __future__ import annotations

from typing import Any

from shared.events.receivables import ReceivableCancelled, ReceivableDiluted, ReceivablePaid
from tests.integration.credit.world import OPEN, World, cny


def paid(document: str, by: str, left: str, **changes: Any) -> ReceivablePaid:
    facts: dict[str, Any] = {
        "receivable_id": document,
        "by": cny(by),
        "paid": cny(by),
        "financeable": cny(left),
        "payee": "seller",
        "paid_date": OPEN,
    }
    return ReceivablePaid.model_validate({**facts, **changes})


async def test_r7_what_was_paid_can_be_financed_no_more(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="100.00")
    await world.hear(paid(document, "40.00", "60.00"))
    assert (await world.draw(supplier, [document], "48.01")).status_code == 422
    assert (await world.draw(supplier, [document], "48.00")).status_code == 201


async def test_r9_what_the_seller_got_before_notice_lowers_the_base_and_what_repaid_the_loan_does_not(
    world: World,
) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="100.00")
    drawdown = (await world.draw(supplier, [document], "80.00")).json()["drawdown_id"]
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, "80.00"))
    # It went through the waterfall: the loan fell with it, and nothing is lacking.
    await world.hear(paid(document, "20.00", "80.00", payee="collection_account", drawdown_id=drawdown))
    assert (await world.drawdown(drawdown))["deficiency"]["amount"] == "0.00"
    await world.hear(world.repaid(drawdown, "20.00", outstanding="60.00"))
    # A note after that: 70 is open, of which 56 may be lent; 60 is.
    note = ReceivableDiluted(receivable_id=document, by=cny("10.00"), financeable=cny("70.00"), reason="return")
    await world.hear(note)
    assert (await world.drawdown(drawdown))["deficiency"]["amount"] == "4.00"
    # What the seller got before notice repaid nothing: 40 is open, 32 may be lent, and 20 and interest are claimed.
    await world.hear(paid(document, "30.00", "40.00"))
    found = await world.drawdown(drawdown)
    assert found["deficiency"]["amount"] == "28.00"
    assert 20 < float(found["claim"]["amount"]) < 22


async def test_on_what_its_seller_took_back_nobody_draws(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="100.00")
    await world.hear(ReceivableCancelled(receivable_id=document, reason="sent twice"))
    refused = await world.draw(supplier, [document], "1.00")
    assert (refused.status_code, refused.json()["code"]) == (422, "document_not_eligible")
