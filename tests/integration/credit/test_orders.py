"""What orders carry, and what their invoices do to it (DOMAIN §2, R6)."""

from __future__ import annotations

from typing import Any, Literal

from services.credit.operations.propagate_due import propagate_due
from shared.events.envelope import Event
from shared.events.receivables import AssignmentRefused, OrderConfirmed, OrderInvoiced, OrderReduced, OrderRegistered
from shared.values.ids import new_id
from tests.integration.credit.world import DUE, OPEN, World, cny

PRODUCTS = ["receivables_discounting", "order_finance"]


async def _order(
    world: World,
    seller_id: str,
    *,
    amount: str = "100000.00",
    buyer_id: str | None = None,
    side: Literal["purchase", "sale"] = "purchase",
) -> str:
    order_id = new_id()
    await world.hear(
        OrderRegistered(
            order_id=order_id,
            seller_id=seller_id,
            buyer_id=buyer_id or world.anchor,
            side=side,
            number="PO-1",
            issue_date=OPEN,
            due_date=DUE,
            amount=cny(amount),
        )
    )
    return order_id


def _confirmed(world: World, order_id: str, seller_id: str) -> Event:
    facts = {"seller_id": seller_id, "buyer_id": world.anchor, "due_date": DUE}
    return OrderConfirmed(order_id=order_id, open=cny("100000.00"), **facts)


def _invoiced(order_id: str, receivable_id: str, *, left: str, drawdown_id: str | None = None) -> Event:
    return OrderInvoiced(
        order_id=order_id,
        receivable_id=receivable_id,
        invoiced=cny("60000.00"),
        open=cny(left),
        drawdown_id=drawdown_id,
    )


async def _draw(world: World, seller_id: str, order_id: str, principal: str = "70000.00") -> Any:
    mill = new_id()
    await world.hear(world.firm(mill))
    payee = {"enterprise_id": mill, "account": f"ACC-{mill[-4:]}"}
    evidence = [{"kind": "contract", "reference": "C-7", "digest": "5e" * 32}]
    return await world.draw(seller_id, [order_id], principal, kind="order", payee=payee, evidence=evidence)


async def _lent(world: World) -> tuple[str, str, str]:
    """Lend 70,000 on an order of 100,000; return the supplier, the order and the drawdown."""
    await world.begin(products=PRODUCTS)
    supplier = await world.supplier()
    order_id = await _order(world, supplier)
    await world.hear(_confirmed(world, order_id, supplier))
    drawdown = (await _draw(world, supplier, order_id)).json()["drawdown_id"]
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, "70000.00"))
    return supplier, order_id, drawdown


async def _deficiency(world: World, drawdown_id: str) -> int:
    async with world.bench.database.reader() as tx:
        found = await tx.pg.fetchval("SELECT deficiency_minor FROM deficiency WHERE drawdown_id = $1", drawdown_id)
    return int(found or 0)


async def test_nothing_is_drawn_on_an_order_before_it_is_confirmed_and_seven_tenths_after(world: World) -> None:
    await world.begin(products=PRODUCTS)
    supplier = await world.supplier()
    order_id = await _order(world, supplier)
    early = await _draw(world, supplier, order_id)
    assert (early.json()["code"], early.json()["reason"]) == ("document_not_eligible", "not_confirmed")
    await world.hear(_confirmed(world, order_id, supplier))
    much = await _draw(world, supplier, order_id, "70000.01")
    assert (much.json()["code"], much.json()["most"]["amount"]) == ("borrowing_base_exceeded", "70000.00")
    drawn = await _draw(world, supplier, order_id)
    assert drawn.status_code == 201, drawn.text
    assert (await world.drawdown(drawn.json()["drawdown_id"]))["product"] == "order_finance"
    assert (await _draw(world, supplier, order_id)).json()["code"] == "document_in_use"


async def test_who_confirms_an_order_never_draws_on_it_and_is_told_so_before_anything_is_held(world: World) -> None:
    await world.begin(products=PRODUCTS)
    supplier = await world.supplier()
    own, bought = await _order(world, supplier, side="sale"), await _order(world, supplier)
    await world.hear(_confirmed(world, own, supplier), _confirmed(world, bought, supplier))
    drawn = await _draw(world, supplier, own)
    assert (drawn.status_code, drawn.json()["code"]) == (422, "document_not_eligible")
    assert drawn.json()["reason"] == "confirmed_by_its_drawer"
    line = await world.line_of(supplier)
    async with world.bench.caller("risk_officer") as officer:
        now = (await officer.get(f"/lines/{line['line_id']}/explanation")).json()
        then = (await officer.get(f"/lines/{line['line_id']}/explanation", params={"as_of": now["as_of"]})).json()
    # Of the two orders only the one that the anchor confirmed is told as something to draw on, now and then.
    assert (now["base"]["documents"], then["base"]) == (1, now["base"])


async def test_an_invoice_of_a_financed_order_is_in_use_and_nothing_is_lacking(world: World) -> None:
    supplier, order_id, drawdown = await _lent(world)
    invoice = await world.receivable(supplier, amount="60000.00")
    # Told twice, it happens once.
    for _ in range(2):
        await world.hear(_invoiced(order_id, invoice, left="40000.00", drawdown_id=drawdown))
    assert (await world.draw(supplier, [invoice], "100.00")).json()["code"] == "document_in_use"
    assert await _deficiency(world, drawdown) == 0
    assert (await world.line_of(supplier))["drawable"]


async def test_an_invoice_that_somebody_held_here_meanwhile_is_the_order_loans(world: World) -> None:
    supplier, order_id, drawdown = await _lent(world)
    invoice = await world.receivable(supplier, amount="60000.00")
    beside = (await world.draw(supplier, [invoice], "100.00")).json()["drawdown_id"]
    await world.hear(_invoiced(order_id, invoice, left="40000.00", drawdown_id=drawdown))
    await world.hear(AssignmentRefused(drawdown_id=beside, code="document_in_use", reason="taken"))
    assert (await world.drawdown(beside))["state"] == "released"
    assert (await world.draw(supplier, [invoice], "100.00")).json()["code"] == "document_in_use"


async def test_r6_an_order_that_falls_lowers_what_is_eligible_never_the_loan(world: World) -> None:
    supplier, order_id, drawdown = await _lent(world)
    await world.hear(OrderReduced(order_id=order_id, by=cny("20000.00"), open=cny("80000.00"), reason="fewer"))
    await propagate_due(world.bench.database)
    assert await _deficiency(world, drawdown) == 1_400_000
    assert (await world.drawdown(drawdown))["outstanding"]["amount"] == "70000.00"
    line = await world.line_of(supplier)
    assert (line["drawable"], line["reasons"]) == (False, ["deficiency"])


async def test_an_order_that_was_invoiced_by_then_carries_less(world: World) -> None:
    await world.begin(products=PRODUCTS)
    supplier = await world.supplier()
    order_id = await _order(world, supplier)
    await world.hear(_confirmed(world, order_id, supplier))
    invoice = await world.receivable(supplier, amount="60000.00")
    await world.hear(_invoiced(order_id, invoice, left="40000.00"))
    much = await _draw(world, supplier, order_id, "28000.01")
    assert much.json()["most"]["amount"] == "28000.00"
    assert (await world.draw(supplier, [invoice], "100.00")).status_code == 201
