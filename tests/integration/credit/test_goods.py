"""Goods carry loans: what they are worth today, and no less than what is open (DOMAIN §2, R6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events.goods import GoodsPledged, GoodsReleased, GoodsRevalued
from shared.events.receivables import OrderConfirmed, OrderRegistered
from shared.values.ids import new_id
from tests.integration.credit.checks import sound
from tests.integration.credit.world import DUE, OPEN, World, cny

PRODUCTS = ["receivables_discounting", "inventory_finance"]


async def _pledged(world: World, owner_id: str, *, eligible: str = "100000.00") -> str:
    goods_id = new_id()
    await world.hear(
        GoodsPledged(
            goods_id=goods_id,
            enterprise_id=owner_id,
            item="copper",
            warehouse="Yangshan 3",
            receipt_number="WR-1",
            value=cny("130000.00"),
            eligible=cny(eligible),
            reasons=[],
            due_date=DUE,
            registry_reference="MR-1",
            registered_at=datetime.now(UTC),
        )
    )
    return goods_id


def _worth(goods_id: str, owner_id: str, eligible: str, *reasons: str) -> GoodsRevalued:
    facts: dict[str, Any] = {"value": cny("130000.00"), "eligible": cny(eligible), "reasons": list(reasons)}
    return GoodsRevalued(goods_id=goods_id, enterprise_id=owner_id, **facts)


async def _lent(world: World, principal: str = "60000.00") -> tuple[str, str, str]:
    """Lend on goods that carry 100,000; return the owner, the goods and the drawdown."""
    await world.begin(products=PRODUCTS)
    owner = await world.supplier()
    goods_id = await _pledged(world, owner)
    drawn = await world.draw(owner, [goods_id], principal, kind="goods")
    assert drawn.status_code == 201, drawn.text
    drawdown = drawn.json()["drawdown_id"]
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, principal))
    return owner, goods_id, drawdown


async def _deficiency(world: World, drawdown_id: str) -> tuple[str, str]:
    found = await world.drawdown(drawdown_id)
    return found["deficiency"]["amount"], found["claim"]["amount"]


async def test_six_tenths_of_what_goods_carry_are_lent_and_only_the_borrower_owes_them(world: World) -> None:
    await world.begin(products=PRODUCTS)
    owner, other = await world.supplier(), await world.supplier()
    goods_id = await _pledged(world, owner)
    foreign = await world.draw(other, [goods_id], "1.00", kind="goods")
    assert (foreign.json()["code"], foreign.json()["reason"]) == ("document_not_eligible", "not_your_document")
    much = await world.draw(owner, [goods_id], "60000.01", kind="goods")
    assert (much.json()["code"], much.json()["most"]["amount"]) == ("borrowing_base_exceeded", "60000.00")
    drawn = await world.draw(owner, [goods_id], "60000.00", kind="goods")
    found = await world.drawdown(drawn.json()["drawdown_id"])
    assert (found["product"], found["obligor_id"]) == ("inventory_finance", owner)
    async with world.database.reader() as tx:
        path = await tx.pg.fetchval("SELECT path FROM drawdown WHERE drawdown_id = $1", found["drawdown_id"])
    levels = {node_id.partition("/")[0] for _, node_id, *_ in path}
    assert levels == {"programme", "direction", "tier", "line", "product", "sme"}
    assert (await world.draw(owner, [goods_id], "1.00", kind="goods")).json()["code"] == "document_in_use"


async def test_r6_goods_that_fall_below_what_was_lent_stop_draws_and_those_that_rise_again_let_them(
    world: World,
) -> None:
    owner, goods_id, drawdown = await _lent(world)
    await world.hear(_worth(goods_id, owner, "99000.00"))
    assert await _deficiency(world, drawdown) == ("600.00", "0.00")
    line = await world.line_of(owner)
    assert (line["drawable"], line["reasons"]) == (False, ["deficiency"])
    assert (await world.drawdown(drawdown))["outstanding"]["amount"] == "60000.00"
    await world.hear(_worth(goods_id, owner, "0.00", "out_of_place"))
    assert await _deficiency(world, drawdown) == ("60000.00", "0.00")
    # The last of what is told at once counts.
    await world.hear_together([_worth(goods_id, owner, "10.00"), _worth(goods_id, owner, "101000.00")])
    assert await _deficiency(world, drawdown) == ("0.00", "0.00")
    assert (await world.line_of(owner))["drawable"]


async def test_r6_a_loan_whose_goods_lack_too_much_is_called_for_more_once_and_again_when_it_grows(
    world: World,
) -> None:
    owner, goods_id, drawdown = await _lent(world)

    async def calls() -> list[tuple[str, ...]]:
        async with world.database.reader() as tx:
            rows = await tx.pg.fetch(
                "SELECT type, body FROM outbox WHERE type LIKE 'drawdown.top_up%' AND subject = $1 ORDER BY position",
                drawdown,
            )
        bodies = [(row["type"], json.loads(row["body"])) for row in rows]
        return [
            (kind, body["lacking"]["amount"], body["goods"]["amount"]) if "lacking" in body else (kind,)
            for kind, body in bodies
        ]

    due, ended = "drawdown.top_up_due.v1", "drawdown.top_up_ended.v1"
    # Of 60,000 five hundredths are 3,000: so much may lack.
    await world.hear(_worth(goods_id, owner, "95000.00"))
    assert (await _deficiency(world, drawdown), await calls()) == (("3000.00", "0.00"), [])
    await world.hear(_worth(goods_id, owner, "94999.00"))
    told = [(due, "3000.60", "5001.00")]
    assert await calls() == told
    assert (await world.drawdown(drawdown))["top_up"]["amount"] == "3000.60"
    await world.hear(_worth(goods_id, owner, "94000.00"), _worth(goods_id, owner, "96000.00"))
    assert await calls() == told, "what falls or rises a little is not told again"
    await world.hear(_worth(goods_id, owner, "80000.00"))
    told.append((due, "12000.00", "20000.00"))
    assert await calls() == told
    await world.hear(world.repaid(drawdown, "12000.00", outstanding="48000.00"))
    assert await calls() == [*told, (ended,)]
    assert (await world.drawdown(drawdown))["top_up"]["amount"] == "0.00"
    await world.hear(_worth(goods_id, owner, "1.00"), world.repaid(drawdown, "48000.00"))
    assert [kind for kind, *_ in await calls()] == [due, due, ended, due, ended]
    assert (await world.drawdown(drawdown))["top_up"]["amount"] == "0.00"


async def test_repayment_lessens_what_is_lacking_whichever_is_heard_first(world: World) -> None:
    owner, goods_id, drawdown = await _lent(world)
    # Half is repaid and released: told of the goods before the loan, the line waits until both are known.
    await world.hear(_worth(goods_id, owner, "50000.00"))
    assert await _deficiency(world, drawdown) == ("30000.00", "0.00")
    await world.hear(world.repaid(drawdown, "30000.00", outstanding="30000.00"))
    assert await _deficiency(world, drawdown) == ("0.00", "0.00")
    assert (await world.line_of(owner))["drawable"]
    await world.hear(
        world.repaid(drawdown, "30000.00"),
        GoodsReleased(goods_id=goods_id, enterprise_id=owner, released="100", left="0", unit="t", wholly=True),
    )
    assert (await world.draw(owner, [goods_id], "1.00", kind="goods")).json()["code"] == "document_in_use"
    await sound(world)


async def test_a_distributor_draws_on_the_order_that_its_anchor_confirmed_and_the_anchor_is_paid(world: World) -> None:
    await world.begin(products=["receivables_discounting", "distributor_finance"])
    dealer = await _dealer(world)
    order_id = new_id()
    sides = {"order_id": order_id, "seller_id": world.anchor, "buyer_id": dealer, "due_date": DUE}
    await world.hear(
        OrderRegistered(**sides, side="sale", number="SO-1", issue_date=OPEN, amount=cny("1000.00")),
        OrderConfirmed(**sides, open=cny("1000.00")),
    )
    drawn = await world.draw(dealer, [order_id], "800.00", kind="order")
    assert drawn.status_code == 201, drawn.text
    drawdown = drawn.json()["drawdown_id"]
    await world.hear(world.assigned(drawdown))
    async with world.database.reader() as tx:
        body = await tx.pg.fetchval("SELECT body FROM outbox WHERE type = 'drawdown.approved.v1'")
    assert f'"payee_id":"{world.anchor}"' in body.replace(" ", "")
    assert (await world.drawdown(drawdown))["product"] == "distributor_finance"


async def test_a_purchase_order_is_never_drawn_on_by_the_distributor_who_confirmed_it(world: World) -> None:
    await world.begin(products=["receivables_discounting", "distributor_finance"])
    dealer = await _dealer(world)
    order_id = new_id()
    sides = {"order_id": order_id, "seller_id": world.anchor, "buyer_id": dealer, "due_date": DUE}
    await world.hear(
        OrderRegistered(**sides, side="purchase", number="PO-1", issue_date=OPEN, amount=cny("1000.00")),
        OrderConfirmed(**sides, open=cny("1000.00")),
    )
    nodes = await world.nodes()
    drawn = await world.draw(dealer, [order_id], "800.00", kind="order")
    assert (drawn.status_code, drawn.json()["code"]) == (422, "document_not_eligible")
    assert drawn.json()["reason"] == "confirmed_by_its_drawer"
    assert await world.nodes() == nodes, "nothing was held for it"


async def _dealer(world: World) -> str:
    """Admit a distributor that the anchor supports; return its id."""
    dealer = new_id()
    await world.hear(
        world.firm(dealer),
        world.rating(dealer),
        world.link(world.anchor, dealer),
        world.member(dealer, direction="downstream", support="1.000000"),
        world.agreement(dealer),
    )
    return dealer


async def test_s26_goods_close_a_gap_and_their_owner_repays_nobody_pays_them(world: World) -> None:
    await world.begin(products=PRODUCTS)
    owner = await world.supplier()
    goods_id = await _pledged(world, owner)
    due = (OPEN + timedelta(days=21)).isoformat()
    wages = {"due_date": due, "direction": "out", "amount": cny("50000.00").model_dump(), "name": "wages"}
    nothing = cny("0.00").model_dump()
    asked = {"opening_balance": nothing, "minimum_balance": nothing, "flows": [wages], "weeks": 6}
    path = f"/enterprises/{owner}/cash-needs"
    async with world.bench.caller("sme", party=owner) as sme:
        found = (await sme.post(path, json=asked)).json()
        assert (found["known_flows"], found["uncovered"]["amount"]) == ([], "0.00")
        (draw,) = found["drawdowns"]
        assert (draw["documents"], draw["product"]) == ([goods_id], "inventory_finance")
        drawn = await world.draw(owner, [goods_id], "60000.00", kind="goods")
        drawdown_id = drawn.json()["drawdown_id"]
        await world.hear(world.assigned(drawdown_id), world.disbursed(drawdown_id, "60000.00"))
        after = (await sme.post(path, json={**asked, "weeks": 26})).json()
    (maturity,) = [each for each in after["known_flows"] if each["reference"] == drawdown_id]
    assert (maturity["source"], maturity["direction"]) == ("loan_maturity", "out")
    assert float(maturity["amount"]["amount"]) > 60_000
