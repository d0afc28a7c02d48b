"""Who lends on goods: a firm on what a warehouse keeps, a distributor on what its anchor keeps back until it pays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from tests.journeys.micro_town import Town, cny, line_of, reached
from tributary.demo.client import Person, Refused, until


@dataclass
class Lending:
    """Somebody who draws on one document, and the bank that watches."""

    town: Town
    sme: Person
    document: dict[str, str]

    async def drawn(self, principal: str) -> str:
        """Draw once the bank knows the document; return the loan's id when the money is out."""
        line = await line_of(self.sme)
        asked = {
            "line_id": line["line_id"],
            "documents": [self.document],
            "principal": cny(principal),
            "purpose": "materials",
        }

        async def held() -> dict[str, Any] | None:
            try:
                return await self.sme.command("/credit/v1/drawdowns", asked)
            except Refused as refused:
                if refused.code in {"document_not_eligible", "line_not_drawable"}:
                    return None
                raise

        loan_id = str((await until(held, awaited="something to draw on"))["drawdown_id"])
        await reached(self.sme, loan_id, "utilised")
        return loan_id

    async def repay(self, amount: str, *, entry: str) -> None:
        """Let money come in that names the document."""
        movement = {
            "entry_id": entry,
            "amount": cny(amount),
            "direction": "credit",
            "value_date": self.town.today.isoformat(),
            "reference": self.document["document_id"],
        }
        body = {"account": "COLLECT", "entries": [movement]}
        paid = await self.town.maker.command("/settlement/v1/statements", body)
        assert paid["entries"][0]["principal"]["amount"] == amount, paid

    async def shown(self, path: str, **expected: Any) -> dict[str, Any]:
        """Return what a path shows once it shows that."""

        async def as_expected() -> dict[str, Any] | None:
            found = await self.sme.get(path)
            return found if expected.items() <= found.items() else None

        return await until(as_expected, awaited=f"{path} with {expected}")


async def pledged(town: Town, sme: Person, owner_id: str) -> str:
    """Have a firm's goods valued and pledged; return their id once the registry has filed them."""
    receipt = {
        "owner_id": owner_id,
        "receipt_number": "WR-1",
        "warehouse": "Yangshan 3",
        "country": "CN",
        "city": "Shanghai",
        "item": "copper cathodes",
        "goods_class": "metal",
        "quantity": "100",
        "unit": "t",
        "currency": "CNY",
        "condition": "good",
        "issue_date": town.today.isoformat(),
        "due_date": (town.today + timedelta(days=90)).isoformat(),
    }
    goods_id = str((await sme.post("/receivables/v1/goods", receipt))["goods_id"])
    valued = {"valued_date": town.today.isoformat(), "unit_value": cny("1000.00"), "source": "exchange"}
    await town.risk.post(f"/receivables/v1/goods/{goods_id}/valuations", valued)
    proposed = await town.maker.post(f"/receivables/v1/goods/{goods_id}/pledges", {"devices": ["scale-1"]})
    checker = await town.people.bank("checker", "bank_checker")
    await checker.post(f"/receivables/v1/approvals/{proposed['approval_id']}/approve")
    return goods_id


async def inventory(town: Town, sme: Person, owner_id: str) -> None:
    """Lend on goods, see them fall short and come back, and release them as they are repaid."""
    goods_id = await pledged(town, sme, owner_id)
    path = f"/receivables/v1/goods/{goods_id}"
    lending = Lending(town, sme, {"kind": "goods", "document_id": goods_id})
    await lending.shown(path, state="pledged", eligible=cny("80000.00"))
    loan_id = await lending.drawn("48000.00")
    await lending.shown(path, state="financed", assigned_to=loan_id)
    await _measured(town, "50", hour=1)
    await lending.shown("/credit/v1/drawdowns/" + loan_id, deficiency=cny("24000.00"))
    assert (await sme.get("/credit/v1/lines"))["items"][0]["reasons"] == ["deficiency"]
    await _measured(town, "100", hour=2)
    await lending.shown("/credit/v1/drawdowns/" + loan_id, deficiency=cny("0.00"))
    await lending.repay("24000.00", entry="G-1")
    await lending.shown(path, released="50", eligible=cny("40000.00"))
    await lending.repay("24000.00", entry="G-2")
    await reached(sme, loan_id, "repaid")
    await lending.shown(path, state="released", pledged="0")


async def distribution(town: Town, seller: Person, order: dict[str, Any], dealer: Person) -> None:
    """Lend to a distributor on its anchor's sales order; the anchor is paid and hands over what is repaid."""
    order_id = str(order["order_id"])
    path = f"/receivables/v1/orders/{order_id}"
    lending = Lending(town, dealer, {"kind": "order", "document_id": order_id})
    loan_id = await lending.drawn("8000.00")
    loan = await town.maker.get(f"/settlement/v1/loans/{loan_id}")
    assert (loan["payee_id"], loan["state"]) == (order["seller_id"], "disbursed")
    assert (await seller.get(path))["released"] == cny("0.00")
    await lending.repay("2000.00", entry="S-1")
    await lending.shown(path, released=cny("2500.00"))
    await lending.repay("6000.00", entry="S-2")
    await reached(dealer, loan_id, "repaid")
    await lending.shown(path, state="settled", released=cny("10000.00"))
    assert (await seller.get(path))["released"] == cny("10000.00")


def sale(seller_id: str, buyer_id: str, *, day: date) -> dict[str, Any]:
    """Return a sales order over 10,000.00."""
    return {
        "seller_id": seller_id,
        "buyer_id": buyer_id,
        "side": "sale",
        "number": "SO-1",
        "issue_date": day.isoformat(),
        "due_date": (day + timedelta(days=60)).isoformat(),
        "amount": cny("10000.00"),
    }


async def _measured(town: Town, tonnes: str, *, hour: int) -> None:
    """Let the scale say how much is there, at an hour of the day before."""
    yesterday = (town.today - timedelta(days=1)).isoformat()
    reading = {"device": "scale-1", "measured_at": f"{yesterday}T{hour:02d}:00:00Z", "quantity": tonnes}
    answer = await town.maker.post("/receivables/v1/goods-readings", {"readings": [reading]})
    assert answer["accepted"] == 1, answer
