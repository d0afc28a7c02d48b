"""An order is lent on and invoiced: what the anchor pays repays that loan first (DOMAIN §2). Then goods, and a sale."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.goods_story import distribution, inventory, sale
from tests.journeys.micro_town import Town, cny, line_of, play, reached
from tributary.demo.client import Person, Refused, until
from tributary.demo.people import people_of

pytestmark = pytest.mark.timeout(300)
_DIGEST = "5e" * 32
PRODUCTS = ["receivables_discounting", "order_finance", "inventory_finance", "distributor_finance"]


@dataclass
class _Trade:
    """A supplier, the anchor that orders from it, and whoever the supplier buys from."""

    town: Town
    sme: Person
    buyer: Person
    checker: Person
    anchor: str
    mill: str
    programme: str
    line: dict[str, Any]

    def day(self, days: int = 0) -> str:
        return (self.town.today + timedelta(days=days)).isoformat()

    async def confirm(self, path: str, body: dict[str, Any]) -> None:
        proposed = await self.buyer.post(f"/receivables/v1/{path}", body)
        await self.checker.post(f"/receivables/v1/approvals/{proposed['approval_id']}/approve")

    async def in_state(self, path: str, state: str) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            found = await self.sme.get(f"/receivables/v1/{path}")
            return found if found["state"] == state else None

        return await until(there, awaited=f"{path} that is {state}")

    async def draw(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Draw once the bank knows that the order is confirmed."""

        async def drawn() -> dict[str, Any] | None:
            try:
                return await self.sme.command("/credit/v1/drawdowns", asked)
            except Refused as refused:
                if refused.code == "document_not_eligible":
                    return None
                raise

        return await until(drawn, awaited="a document to draw on")


async def _trade(http: httpx.AsyncClient, home: Path) -> _Trade:
    people = await people_of(http, home=home)
    maker, risk = await people.bank("maker", "bank_maker"), await people.bank("risk", "risk_officer")
    town = Town(people, maker, risk, datetime.now(UTC).date())
    await maker.post("/settlement/v1/book", {"opening_date": town.today.isoformat()})
    anchor, mill = await town.firm("anchor"), await town.firm("mill")
    programme = await town.programme(anchor, products=PRODUCTS)
    sme = await town.supplier(anchor, programme)
    buyer, checker = await people.of(anchor, "anchor_maker"), await people.of(anchor, "anchor_checker")
    return _Trade(town, sme, buyer, checker, anchor, mill, programme, await line_of(sme))


async def _ordered(trade: _Trade) -> str:
    """Register an order by its seller and have it confirmed by two of the anchor's people."""
    line = {"line_id": "1", "item": "BOLT-8", "quantity": "1000", "price": "100", "amount": "100000.00"}
    body = {
        "seller_id": trade.line["enterprise_id"],
        "buyer_id": trade.anchor,
        "number": "PO-1",
        "issue_date": trade.day(),
        "delivery_date": trade.day(30),
        "due_date": trade.day(60),
        "amount": cny("100000.00"),
        "lines": [line],
    }
    order_id = str((await trade.sme.post("/receivables/v1/orders", body))["order_id"])
    await trade.confirm("order-confirmations", {"order_ids": [order_id]})
    return order_id


async def _lent(trade: _Trade, order_id: str) -> str:
    """Draw on the order: paid to whom the supplier buys from."""
    asked = {
        "line_id": trade.line["line_id"],
        "documents": [{"kind": "order", "document_id": order_id}],
        "principal": cny("70000.00"),
        "purpose": "materials",
        "payee": {"enterprise_id": trade.mill, "account": "ACC-mill"},
        "evidence": [{"kind": "contract", "reference": "C-9", "digest": _DIGEST}],
    }
    loan_id = str((await trade.draw(asked))["drawdown_id"])
    used = await reached(trade.sme, loan_id, "utilised")
    assert (used["product"], used["outstanding"]["amount"]) == ("order_finance", "70000.00")
    loan = await trade.town.maker.get(f"/settlement/v1/loans/{loan_id}")
    assert (loan["payee_id"], loan["state"]) == (trade.mill, "disbursed")
    await trade.in_state(f"orders/{order_id}", "financed")
    # R23: the buyer was told of the assignment, not whether its supplier has borrowed.
    assert (await trade.buyer.get(f"/receivables/v1/orders/{order_id}"))["state"] == "assigned"
    return loan_id


async def _invoiced(trade: _Trade, order_id: str, loan_id: str) -> str:
    """Invoice the order, and have the invoice confirmed: it is the loan's."""
    invoice = {
        "seller_id": trade.line["enterprise_id"],
        "obligor_id": trade.anchor,
        "number": "INV-1",
        "issue_date": trade.day(),
        "due_date": trade.day(60),
        "payable": cny("100000.00"),
        "order_reference": "po-1",
    }
    body = json.dumps(invoice).encode()
    taken = await trade.sme.send_file("/receivables/v1/documents", name="", body=body, media_type="application/json")
    receivable_id = str(taken["receivable_id"])
    await trade.confirm("confirmations", {"receivable_ids": [receivable_id], "undertaking": "none"})
    shown = await trade.sme.get(f"/receivables/v1/receivables/{receivable_id}")
    assert (shown["state"], shown["assigned_to"]) == ("financed", loan_id)
    order = await trade.sme.get(f"/receivables/v1/orders/{order_id}")
    assert (order["open"]["amount"], order["invoices"][0]["receivable_id"]) == ("0.00", receivable_id)
    return receivable_id


async def _not_beside(trade: _Trade, receivable_id: str) -> None:
    """Try to finance the invoice beside the order's loan: refused by credit, or by receivables before credit knew."""
    asked = {
        "line_id": trade.line["line_id"],
        "documents": [{"kind": "receivable", "document_id": receivable_id}],
        "principal": cny("1000.00"),
        "purpose": "materials",
    }

    async def known() -> bool | None:
        try:
            beside = await trade.draw(asked)
        except Refused as refused:
            return refused.code == "document_in_use" or None
        let_go = await reached(trade.sme, beside["drawdown_id"], "released")
        assert let_go["reason"] == "document_in_use"
        return None

    assert await until(known, awaited="the invoice in use by the order's loan")


async def _noted(trade: _Trade, receivable_id: str, loan_id: str) -> None:
    """Take a credit note in that cites the financed invoice: it lowers the base, and the loan lacks what it carried."""
    note = {
        "seller_id": trade.line["enterprise_id"],
        "obligor_id": trade.anchor,
        "number": "CN-1",
        "document_type": "381",
        "issue_date": trade.day(),
        "payable": cny("5000.00"),
        "preceding_invoices": [{"number": "inv 1", "issue_date": trade.day()}],
    }
    body = json.dumps(note).encode()
    taken = await trade.sme.send_file("/receivables/v1/documents", name="", body=body, media_type="application/json")
    assert (taken["state"], taken["parts"]) == ("applied", [{"receivable_id": receivable_id, "by": cny("5000.00")}])

    async def lacking() -> dict[str, Any] | None:
        found = await trade.sme.get(f"/credit/v1/drawdowns/{loan_id}")
        return found if found["deficiency"]["amount"] != "0.00" else None

    found = await until(lacking, awaited="the deficiency that the note leaves")
    assert found["outstanding"]["amount"] == "70000.00"


async def _paid(trade: _Trade, entry_id: str, amount: str, reference: str) -> dict[str, Any]:
    entry = {
        "entry_id": entry_id,
        "amount": cny(amount),
        "direction": "credit",
        "value_date": trade.day(),
        "reference": reference,
    }
    paid = await trade.town.maker.command("/settlement/v1/statements", {"account": "COLLECT", "entries": [entry]})
    outcome: dict[str, Any] = paid["entries"][0]
    return outcome


async def _story(http: httpx.AsyncClient, home: Path) -> None:
    trade = await _trade(http, home)
    order_id = await _ordered(trade)
    loan_id = await _lent(trade, order_id)
    receivable_id = await _invoiced(trade, order_id, loan_id)
    await _not_beside(trade, receivable_id)
    await _noted(trade, receivable_id, loan_id)
    first = await _paid(trade, "E-1", "40000.00", receivable_id)
    assert (first["loan_id"], first["principal"]["amount"]) == (loan_id, "40000.00")

    async def in_part() -> dict[str, Any] | None:
        found = await trade.sme.get(f"/receivables/v1/receivables/{receivable_id}/payments")
        return found if found["payments"] else None

    told = await until(in_part, awaited="the payment that the receivable hears of")
    assert (told["status"], told["paid"]["amount"], told["open"]["amount"]) == ("partial", "40000.00", "55000.00")
    rest = await _paid(trade, "E-2", "55000.00", receivable_id)
    assert (rest["principal"]["amount"], rest["surplus"]["amount"]) == ("30000.00", "25000.00")
    await reached(trade.sme, loan_id, "repaid")
    await trade.in_state(f"orders/{order_id}", "settled")
    await trade.in_state(f"receivables/{receivable_id}", "settled")
    assert (await line_of(trade.sme))["utilised"]["amount"] == "0.00"
    await inventory(trade.town, trade.sme, trade.line["enterprise_id"])
    await _distributed(trade)


async def _distributed(trade: _Trade) -> None:
    """Confirm a sales order by its seller, and let the distributor that ordered draw on it."""
    dealer, dealer_id = await trade.town.dealer(trade.anchor, trade.programme)
    order = await dealer.post("/receivables/v1/orders", sale(trade.anchor, dealer_id, day=trade.town.today))
    await trade.confirm("order-confirmations", {"order_ids": [order["order_id"]]})
    await distribution(trade.town, trade.buyer, order, dealer)


def test_orders_goods_and_sales_are_lent_on_and_repaid_and_every_invariant_holds(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    figures = asyncio.run(play(_story, home=tmp_path))
    assert len(figures) >= 11
    assert all(figure["violations"] == 0 for figure in figures.values()), json.dumps(figures, indent=1)
