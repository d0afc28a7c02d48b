"""UBL 2.1: Order, DespatchAdvice and ReceiptAdvice."""

from __future__ import annotations

from lxml import etree

from services.receivables.domain.deliveries import Delivery, Kind
from services.receivables.domain.documents import (
    NotAnInvoice,
    UnreadableDocument,
    check_payable,
    need_date,
    read_date,
    read_money,
    read_number,
    read_text,
)
from services.receivables.domain.hardened_xml import parse
from services.receivables.domain.orders import Order
from services.receivables.domain.trade_lines import sum_of
from services.receivables.domain.ubl import party_of
from services.receivables.domain.ubl_lines import NAMES, find, ubl_lines

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
ORDER = f"{{{_UBL}Order-2}}Order"
DESPATCH = f"{{{_UBL}DespatchAdvice-2}}DespatchAdvice"
RECEIPT = f"{{{_UBL}ReceiptAdvice-2}}ReceiptAdvice"
_DELIVERED_BY = ("cac:Delivery/cac:RequestedDeliveryPeriod/cbc:EndDate", "cac:Delivery/cbc:LatestDeliveryDate")


def read_trade_document(data: bytes) -> Order | Delivery:
    """Return the order or the note of a delivery that an XML file holds; the coded errors of documents.py otherwise."""
    root = parse(data)
    if root.tag == ORDER:
        return _order(root)
    if root.tag == DESPATCH:
        return _delivery(root, kind="despatch", line="DespatchLine", quantity="DeliveredQuantity")
    if root.tag == RECEIPT:
        return _delivery(root, kind="receipt", line="ReceiptLine", quantity="ReceivedQuantity")
    shown = etree.QName(root).localname[:60]
    raise NotAnInvoice(f"{shown} is no UBL Order, DespatchAdvice or ReceiptAdvice.", document=shown)


def _order(root: etree._Element) -> Order:
    """Return a UBL order; where it announces no total, its lines add up to one."""
    currency = read_text(find(root, "cbc:DocumentCurrencyCode"), field="currency")
    total = root.find("cac:AnticipatedMonetaryTotal/cbc:PayableAmount", NAMES)
    currency = currency or ("" if total is None else total.get("currencyID", ""))
    lines = ubl_lines(root, path="cac:OrderLine/cac:LineItem", quantity="Quantity", currency=currency)
    delivery = next((text for path in _DELIVERED_BY if (text := find(root, path))), None)
    amount = sum_of(lines, currency=currency) if total is None else read_money(total.text, currency=currency)
    return Order(
        syntax="ubl",
        number=read_number(find(root, "cbc:ID")),
        issue_date=need_date(find(root, "cbc:IssueDate"), field="issue date"),
        amount=check_payable(amount),
        seller=party_of(root.find("cac:SellerSupplierParty/cac:Party", NAMES), field="seller"),
        buyer=party_of(root.find("cac:BuyerCustomerParty/cac:Party", NAMES), field="buyer"),
        delivery_date=read_date(delivery, field="delivery date"),
        due_date=read_date(find(root, "cac:PaymentTerms/cbc:PaymentDueDate"), field="due date"),
        lines=lines,
    )


def _delivery(root: etree._Element, *, kind: Kind, line: str, quantity: str) -> Delivery:
    order_number = read_text(find(root, "cac:OrderReference/cbc:ID"), field="order reference")
    if not order_number:
        raise UnreadableDocument("The document names no order.", field="order reference")
    return Delivery(
        kind=kind,
        syntax="ubl",
        order_number=order_number,
        number=read_number(find(root, "cbc:ID")),
        issue_date=need_date(find(root, "cbc:IssueDate"), field="issue date"),
        seller=party_of(root.find("cac:DespatchSupplierParty/cac:Party", NAMES), field="seller"),
        buyer=party_of(root.find("cac:DeliveryCustomerParty/cac:Party", NAMES), field="buyer"),
        lines=ubl_lines(root, path=f"cac:{line}", quantity=quantity),
    )
