"""The lines of a UN/CEFACT CII invoice, as far as they can be read."""

from __future__ import annotations

from dataclasses import replace

from lxml import etree

from services.receivables.domain.documents import UnreadableDocument
from services.receivables.domain.hardened_xml import text_of
from services.receivables.domain.trade_lines import MOST_LINES, TradeLine, check_lines, price_of_one, read_line
from shared.values.money import InvalidAmount, UnknownCurrency

_RAM = {"ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"}
_LINE = "ram:IncludedSupplyChainTradeLineItem"
_PRODUCT, _AGREED = "ram:SpecifiedTradeProduct", "ram:SpecifiedLineTradeAgreement"
_PRICE = f"{_AGREED}/ram:NetPriceProductTradePrice"
_TOTAL = "ram:SpecifiedLineTradeSettlement/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"


def cii_lines(trade: etree._Element, *, currency: str) -> tuple[TradeLine, ...]:
    """Return an invoice's lines; none where one cannot be read: it is then compared by its amounts alone."""
    elements = trade.findall(_LINE, _RAM)
    if len(elements) > MOST_LINES:
        return ()
    try:
        return check_lines(tuple(_line(each, currency) for each in elements))
    except (UnreadableDocument, InvalidAmount, UnknownCurrency):
        return ()


def _line(element: etree._Element, currency: str) -> TradeLine:
    counted = element.find("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity", _RAM)
    fields = {
        "line_id": _find(element, "ram:AssociatedDocumentLineDocument/ram:LineID"),
        "item": _find(element, f"{_PRODUCT}/ram:BuyerAssignedID") or _find(element, f"{_PRODUCT}/ram:SellerAssignedID"),
        "name": _find(element, f"{_PRODUCT}/ram:Name"),
        "quantity": text_of(counted),
        "unit": None if counted is None else counted.get("unitCode"),
        "amount": _find(element, _TOTAL),
        "order_line": _find(element, f"{_AGREED}/ram:BuyerOrderReferencedDocument/ram:LineID"),
    }
    price = price_of_one(_find(element, f"{_PRICE}/ram:ChargeAmount"), _find(element, f"{_PRICE}/ram:BasisQuantity"))
    return replace(read_line(fields, currency=currency), price=price)


def _find(element: etree._Element, path: str) -> str | None:
    return text_of(element.find(path, _RAM))
