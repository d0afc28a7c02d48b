"""Orders and deliveries at the desk: what firms send, as JSON and as UBL."""

from __future__ import annotations

from typing import Any

import httpx

from tests.integration.receivables.desk import ANCHOR, SUPPLIER, Desk
from tests.support.einvoices import Firm

_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_SPACES = f'xmlns:cac="{_UBL}:CommonAggregateComponents-2" xmlns:cbc="{_UBL}:CommonBasicComponents-2"'


def order(desk: Desk, *, number: str = "PO-1", yuan: str = "1000.00", **changes: Any) -> dict[str, Any]:
    """Return an order of 100 bolts at 6.00 and 50 nuts at 8.00."""
    return {
        "seller_id": desk.id(SUPPLIER),
        "buyer_id": desk.id(ANCHOR),
        "number": number,
        "issue_date": "2026-11-01",
        "due_date": "2027-01-30",
        "amount": {"amount": yuan, "currency": "CNY"},
        "lines": [
            {"line_id": "1", "item": "BOLT", "quantity": "100", "unit": "C62", "price": "6", "amount": "600.00"},
            {"line_id": "2", "item": "NUT", "quantity": "50", "unit": "C62", "price": "8", "amount": "400.00"},
        ],
        **changes,
    }


def invoice(desk: Desk, number: str, *lines: tuple[str, str, str], order_number: str = "PO-1") -> dict[str, Any]:
    """Return an invoice of (order line, quantity, price) lines; without lines of 1000.00."""
    amounts = [float(quantity) * float(price) for _, quantity, price in lines] or [1000.0]
    return {
        "seller_id": desk.id(SUPPLIER),
        "obligor_id": desk.id(ANCHOR),
        "number": number,
        "issue_date": "2026-11-20",
        "due_date": "2027-01-30",
        "payable": {"amount": f"{sum(amounts):.2f}", "currency": "CNY"},
        "order_reference": order_number,
        "lines": [
            {"line_id": f"i{nth}", "order_line": line, "quantity": quantity, "price": price, "amount": f"{amount:.2f}"}
            for nth, ((line, quantity, price), amount) in enumerate(zip(lines, amounts, strict=False), start=1)
        ],
    }


def delivery(desk: Desk, number: str, *lines: tuple[str, str], kind: str = "receipt") -> dict[str, Any]:
    """Return a note of (order line, quantity) lines on the first order."""
    return {
        "kind": kind,
        "seller_id": desk.id(SUPPLIER),
        "buyer_id": desk.id(ANCHOR),
        "order_number": "PO-1",
        "number": number,
        "issue_date": "2026-11-15",
        "lines": [
            {"line_id": str(nth), "order_line": line, "quantity": quantity}
            for nth, (line, quantity) in enumerate(lines, start=1)
        ],
    }


async def registered(desk: Desk, body: dict[str, Any] | None = None) -> str:
    """Register an order by its seller; return its id."""
    async with desk.sme(SUPPLIER) as sme:
        answer = await sme.post("/orders", json=body or order(desk))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["order_id"])


async def confirmed(desk: Desk, *order_ids: str, by: Firm = ANCHOR) -> None:
    """Confirm orders by two of the anchor's people."""
    async with desk.maker(by) as maker, desk.checker(by) as checker:
        proposed = await maker.post("/order-confirmations", json={"order_ids": list(order_ids)})
        assert proposed.status_code == 201, proposed.text
        approved = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
    assert approved.status_code == 200, approved.text


async def ordered(desk: Desk, **changes: Any) -> str:
    """Register an order and have it confirmed; return its id."""
    order_id = await registered(desk, order(desk, **changes))
    await confirmed(desk, order_id)
    return order_id


async def invoiced(desk: Desk, body: dict[str, Any]) -> str:
    """Take an invoice in by its seller; return its receivable's id."""
    async with desk.sme(SUPPLIER) as sme:
        answer = await sme.post("/documents", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["receivable_id"])


async def delivered(desk: Desk, body: dict[str, Any]) -> httpx.Response:
    """Record a note by the side that it is of."""
    async with desk.maker() if body["kind"] == "receipt" else desk.sme(SUPPLIER) as side:
        return await side.post("/deliveries", json=body)


def ubl_order(number: str = "PO-1") -> bytes:
    """Return the same order in UBL 2.1: the nuts are priced by the hundred."""
    lines = _order_line("1", "BOLT", "100", "600.00", "6") + _order_line("2", "NUT", "50", "400.00", "800", per="100")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Order xmlns="{_UBL}:Order-2" {_SPACES}>
  <cbc:ID>{number}</cbc:ID><cbc:IssueDate>2026-11-01</cbc:IssueDate>
  <cbc:DocumentCurrencyCode>CNY</cbc:DocumentCurrencyCode>
  <cac:BuyerCustomerParty>{_party(ANCHOR)}</cac:BuyerCustomerParty>
  <cac:SellerSupplierParty>{_party(SUPPLIER)}</cac:SellerSupplierParty>
  <cac:Delivery><cac:RequestedDeliveryPeriod><cbc:EndDate>2026-12-31</cbc:EndDate></cac:RequestedDeliveryPeriod>
  </cac:Delivery>
  <cac:AnticipatedMonetaryTotal><cbc:PayableAmount currencyID="CNY">1000.00</cbc:PayableAmount>
  </cac:AnticipatedMonetaryTotal>{lines}
</Order>""".encode()


def ubl_despatch(number: str, *lines: tuple[str, str]) -> bytes:
    """Return a UBL despatch advice of (order line, quantity) lines."""
    made = "".join(
        f"""<cac:DespatchLine><cbc:ID>{nth}</cbc:ID>
    <cbc:DeliveredQuantity unitCode="C62">{quantity}</cbc:DeliveredQuantity>
    <cac:OrderLineReference><cbc:LineID>{line}</cbc:LineID></cac:OrderLineReference>
    <cac:Item><cbc:Name>Parts</cbc:Name></cac:Item></cac:DespatchLine>"""
        for nth, (line, quantity) in enumerate(lines, start=1)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<DespatchAdvice xmlns="{_UBL}:DespatchAdvice-2" {_SPACES}>
  <cbc:ID>{number}</cbc:ID><cbc:IssueDate>2026-11-15</cbc:IssueDate>
  <cac:OrderReference><cbc:ID>PO-1</cbc:ID></cac:OrderReference>
  <cac:DespatchSupplierParty>{_party(SUPPLIER)}</cac:DespatchSupplierParty>
  <cac:DeliveryCustomerParty>{_party(ANCHOR)}</cac:DeliveryCustomerParty>{made}
</DespatchAdvice>""".encode()


def _order_line(number: str, item: str, quantity: str, amount: str, price: str, *, per: str = "") -> str:
    base = f"<cbc:BaseQuantity>{per}</cbc:BaseQuantity>" if per else ""
    return f"""<cac:OrderLine><cac:LineItem><cbc:ID>{number}</cbc:ID>
    <cbc:Quantity unitCode="C62">{quantity}</cbc:Quantity>
    <cbc:LineExtensionAmount currencyID="CNY">{amount}</cbc:LineExtensionAmount>
    <cac:Price><cbc:PriceAmount currencyID="CNY">{price}</cbc:PriceAmount>{base}</cac:Price>
    <cac:Item><cbc:Name>{item}</cbc:Name>
    <cac:SellersItemIdentification><cbc:ID>{item}</cbc:ID></cac:SellersItemIdentification></cac:Item>
  </cac:LineItem></cac:OrderLine>"""


def _party(firm: Firm) -> str:
    name = f"<cbc:RegistrationName>{firm.name}</cbc:RegistrationName>"
    return f"<cac:Party><cac:PartyLegalEntity>{name}</cac:PartyLegalEntity></cac:Party>"
