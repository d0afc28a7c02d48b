"""Facts come in, a line appears, a drawdown lives its life: through HTTP and the handlers, on a real PostgreSQL."""

from __future__ import annotations

from shared.events.settlement import LoanClosed
from tests.integration.credit.world import OPEN, World


async def test_facts_become_a_line_and_a_drawdown_lives_its_whole_life(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    line = await world.line_of(supplier)
    assert line["drawable"], line
    assert (line["cap"]["amount"], line["available"]["amount"], line["tier"]) == ("1000000.00", "1000000.00", 1)

    drawdown = await world.held(supplier, "80000.00")
    assert (await world.line_of(supplier))["held"]["amount"] == "80000.00"
    assert (await world.line_of(supplier))["available"]["amount"] == "920000.00"

    await world.hear(world.assigned(drawdown))
    assert (await world.drawdown(drawdown))["state"] == "approved"
    await world.hear(world.disbursed(drawdown, "80000.00"))
    line = await world.line_of(supplier)
    assert (line["held"]["amount"], line["utilised"]["amount"]) == ("0.00", "80000.00")
    await world.hear(world.repaid(drawdown, "80000.00"), LoanClosed(loan_id=drawdown, closed_date=OPEN))
    line = await world.line_of(supplier)
    assert (line["utilised"]["amount"], line["available"]["amount"]) == ("0.00", "1000000.00")
    assert (await world.drawdown(drawdown))["state"] == "repaid"
    assert await world.told(drawdown) == [
        "drawdown.held",
        "drawdown.approved",
        "drawdown.utilised",
        "drawdown.reinstated",
        "drawdown.repaid",
    ]
