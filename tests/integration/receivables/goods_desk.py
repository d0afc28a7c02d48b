"""Goods at the desk: registered by their holder, valued by risk, pledged by two, filed by the worker."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import httpx

from services.receivables.operations.movables_registry import MovablesRegistry
from services.receivables.operations.pledge_goods import file_pledges
from shared.events.credit import DrawdownHeld
from shared.events.receivables import Document
from shared.events.settlement import BusinessDayOpened, LoanRepaid
from shared.values.ids import new_id
from tests.integration.receivables.desk import SUPPLIER, Desk, cny
from tests.support.einvoices import Firm

DAY = date(2026, 3, 2)
NDJSON = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}


def receipt(desk: Desk, *, owner: Firm = SUPPLIER, **changes: Any) -> dict[str, Any]:
    """Return a receipt of 100 tonnes of copper in Shanghai."""
    return {
        "owner_id": desk.id(owner),
        "receipt_number": "WR-001",
        "warehouse": "Yangshan 3",
        "country": "CN",
        "city": "Shanghai",
        "latitude": "31.2304",
        "longitude": "121.4737",
        "item": "copper cathodes",
        "goods_class": "metal",
        "quantity": "100",
        "unit": "t",
        "currency": "CNY",
        "condition": "good",
        "issue_date": "2026-03-01",
        "due_date": "2026-06-01",
        **changes,
    }


def valuation(unit_value: str = "10.00", *, days: int = 0, **changes: Any) -> dict[str, Any]:
    """Return what a unit was worth so many days after the first day."""
    valued = (DAY + timedelta(days=days)).isoformat()
    return {"valued_date": valued, "unit_value": cny(unit_value).model_dump(), "source": "exchange", **changes}


async def opened(desk: Desk) -> None:
    """Open the book on the first day."""
    await desk.hear(BusinessDayOpened(open_date=DAY))


async def registered(desk: Desk, body: dict[str, Any] | None = None) -> str:
    """Register goods by their holder; return their id."""
    async with desk.sme(SUPPLIER) as sme:
        answer = await sme.post("/goods", json=body or receipt(desk))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["goods_id"])


async def value(desk: Desk, goods_id: str, body: dict[str, Any] | None = None) -> httpx.Response:
    """Value goods, as risk does."""
    async with desk.bench.caller("risk_officer") as risk:
        return await risk.post(f"/goods/{goods_id}/valuations", json=body or valuation())


async def propose(desk: Desk, goods_id: str, **agreed: Any) -> httpx.Response:
    """Propose a pledge; watched by one device unless it says otherwise."""
    async with desk.bench.caller("bank_maker", subject="maker") as maker:
        return await maker.post(f"/goods/{goods_id}/pledges", json={"devices": ["T-1"], **agreed})


async def approve(desk: Desk, proposed: httpx.Response, *, subject: str = "checker") -> httpx.Response:
    """Approve what was proposed."""
    assert proposed.status_code == 201, proposed.text
    async with desk.bench.caller("bank_checker", subject=subject) as checker:
        return await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")


async def file(desk: Desk) -> int:
    """Let the worker go to the registry."""
    return await file_pledges(desk.bench.database, registry=MovablesRegistry(desk.bench.settings.registry))


async def pledged(desk: Desk, *, devices: list[str] | None = None, **changes: Any) -> str:
    """Take goods as security; return their id."""
    goods_id = await registered(desk, receipt(desk, **changes))
    assert (await value(desk, goods_id)).status_code == 201
    agreed = await approve(desk, await propose(desk, goods_id, devices=devices or ["T-1"]))
    assert agreed.status_code == 200, agreed.text
    assert await file(desk) == 1
    return goods_id


async def lot(desk: Desk, goods_id: str) -> dict[str, Any]:
    """Read goods as the bank does."""
    return await desk.read(f"/goods/{goods_id}")


def on_goods(desk: Desk, goods_id: str, amount: str = "800.00") -> DrawdownHeld:
    """Return a drawdown on goods, which only their owner owes."""
    held = desk.held(Document(kind="goods", document_id=goods_id, amount=cny(amount)))
    return held.model_copy(update={"obligor_id": desk.id(SUPPLIER)})


def repaid(drawdown_id: str, *, outstanding: str, principal: str = "1.00") -> LoanRepaid:
    """Return that something of a loan is repaid."""
    return LoanRepaid(
        loan_id=drawdown_id,
        collection_id=new_id(),
        value_date=DAY,
        costs=cny("0.00"),
        penalty=cny("0.00"),
        interest=cny("0.00"),
        principal=cny(principal),
        outstanding=cny(outstanding),
        surplus=cny("0.00"),
    )


async def measured(desk: Desk, *readings: dict[str, Any]) -> dict[str, Any]:
    """Send readings as JSON; return what became of them."""
    async with desk.bench.caller("erp", party=desk.id(SUPPLIER)) as erp:
        answer = await erp.post("/goods-readings", json={"readings": list(readings)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def reading(hour: int = 9, *, device: str = "T-1", **measured_there: Any) -> dict[str, Any]:
    """Return what a device measured at an hour of the first day."""
    return {"device": device, "measured_at": f"{DAY.isoformat()}T{hour:02d}:00:00Z", **measured_there}
