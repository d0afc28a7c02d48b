"""The lines of UBL 2.1 documents: of orders, deliveries and invoices alike."""

from __future__ import annotations

from dataclasses import replace

from lxml import etree

from services.receivables.domain.documents import UnreadableDocument
from services.receivables.domain.hardened_xml import text_of
from services.receivables.domain.trade_lines import MOST_LINES, TradeLine, check_lines, price_of_one, read_line
from shared.values.money import InvalidAmount, UnknownCurrency

NAMES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
_BUYERS, _SELLERS = "cac:Item/cac:BuyersItemIdentification/cbc:ID", "cac:Item/cac:SellersItemIdentification/cbc:ID"


def find(element: etree._Element, path: str) -> str | None:
    """Return the text at a path, None when there is none."""
    return text_of(element.find(path, NAMES))


def ubl_lines(root: etree._Element, *, path: str, quantity: str, currency: str = "") -> tuple[TradeLine, ...]:
    """Return the lines at a path, their quantity under its name there; UnreadableDocument or InvalidAmount."""
    found = []
    for element in root.iterfind(path, NAMES):
        counted = element.find(f"cbc:{quantity}", NAMES)
        fields = {
            "line_id": find(element, "cbc:ID"),
            "item": find(element, _BUYERS) or find(element, _SELLERS),
            "name": find(element, "cac:Item/cbc:Name"),
            "quantity": text_of(counted),
            "unit": None if counted is None else counted.get("unitCode"),
            "amount": find(element, "cbc:LineExtensionAmount") if currency else None,
            "order_line": find(element, "cac:OrderLineReference/cbc:LineID"),
        }
        line = read_line(fields, currency=currency)
        found.append(_priced(line, element) if currency else line)
    return check_lines(tuple(found))


def invoice_lines(root: etree._Element, *, credit: bool, currency: str) -> tuple[TradeLine, ...]:
    """Return an invoice's lines as far as they can be read: what cannot be is compared by its amounts alone."""
    name, quantity = ("CreditNoteLine", "CreditedQuantity") if credit else ("InvoiceLine", "InvoicedQuantity")
    if len(root.findall(f"cac:{name}", NAMES)) > MOST_LINES:
        return ()
    try:
        return ubl_lines(root, path=f"cac:{name}", quantity=quantity, currency=currency)
    except (UnreadableDocument, InvalidAmount, UnknownCurrency):
        return ()


def _priced(line: TradeLine, element: etree._Element) -> TradeLine:
    price = price_of_one(find(element, "cac:Price/cbc:PriceAmount"), find(element, "cac:Price/cbc:BaseQuantity"))
    return replace(line, price=price)
