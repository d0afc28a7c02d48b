"""UBL 2.1: Invoice and CreditNote in business terms."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from services.receivables.domain.documents import (
    EInvoice,
    Identifier,
    Party,
    UnreadableDocument,
    check_document_type,
    check_payable,
    computed_payable,
    need_date,
    read_cited,
    read_date,
    read_money,
    read_number,
    read_text,
)
from services.receivables.domain.hardened_xml import text_of
from services.receivables.domain.ubl_lines import invoice_lines
from shared.values.money import Money

INVOICE = "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice"
CREDIT_NOTE = "{urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2}CreditNote"
_NAMES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}


def read_ubl(root: etree._Element) -> EInvoice:
    """Return a UBL invoice; the coded errors of documents.py when it is not one that can be financed."""
    credit = root.tag == CREDIT_NOTE
    code = _text(root, "cbc:CreditNoteTypeCode" if credit else "cbc:InvoiceTypeCode", field="type code")
    document_type = check_document_type((code or "381") if credit else code)
    currency = _text(root, "cbc:DocumentCurrencyCode", field="currency")
    total = root.find("cac:LegalMonetaryTotal", _NAMES)
    amount = None if total is None else total.find("cbc:PayableAmount", _NAMES)
    if amount is None:
        raise UnreadableDocument("The document has no amount due (BT-115).", field="payable")
    return EInvoice(
        syntax="ubl",
        document="CreditNote" if credit else "Invoice",
        profile=_text(root, "cbc:CustomizationID", field="profile"),
        number=read_number(_find(root, "cbc:ID")),
        document_type=document_type,
        issue_date=need_date(_find(root, "cbc:IssueDate"), field="issue date"),
        due_date=read_date(
            _find(root, "cbc:DueDate") or _find(root, "cac:PaymentMeans/cbc:PaymentDueDate"), field="due date"
        ),
        payable=check_payable(read_money(amount.text, currency=currency or amount.get("currencyID", ""))),
        seller=party_of(root.find("cac:AccountingSupplierParty/cac:Party", _NAMES), field="seller"),
        buyer=party_of(root.find("cac:AccountingCustomerParty/cac:Party", _NAMES), field="buyer"),
        payee=_payee(root),
        order_reference=_text(root, "cac:OrderReference/cbc:ID", field="order reference"),
        computed=_computed(total, currency),
        lines=invoice_lines(root, credit=credit, currency=currency),
        cites=read_cited(
            (_find(each, "cbc:ID"), _find(each, "cbc:IssueDate"))
            for each in root.iterfind("cac:BillingReference/cac:InvoiceDocumentReference", _NAMES)
        ),
    )


def _computed(total: etree._Element | None, currency: str) -> Money | None:
    if total is None:
        return None
    names = ("TaxInclusive", "Prepaid", "PayableRounding")
    gross, prepaid, rounding = (_find(total, f"cbc:{name}Amount") for name in names)
    return computed_payable(gross=gross, prepaid=prepaid, rounding=rounding, currency=currency)


def _payee(root: etree._Element) -> Party | None:
    payee = root.find("cac:PayeeParty", _NAMES)
    return None if payee is None else party_of(payee, field="payee")


def party_of(party: etree._Element | None, *, field: str) -> Party:
    """Return a UBL party; UnreadableDocument when the document names none."""
    if party is None:
        raise UnreadableDocument(f"The document names no {field}.", field=field)
    trading = _text(party, "cac:PartyName/cbc:Name", field=field)
    legal = party.find("cac:PartyLegalEntity/cbc:CompanyID", _NAMES)
    return Party(
        name=_text(party, "cac:PartyLegalEntity/cbc:RegistrationName", field=field) or trading,
        trading_name=trading,
        vat=next(_vats(party), ""),
        legal=_identifier(legal),
        electronic=_identifier(party.find("cbc:EndpointID", _NAMES)),
        others=tuple(
            found
            for each in party.iterfind("cac:PartyIdentification/cbc:ID", _NAMES)
            if (found := _identifier(each)) is not None
        ),
    )


def _vats(party: etree._Element) -> Iterator[str]:
    for scheme in party.iterfind("cac:PartyTaxScheme", _NAMES):
        if (_find(scheme, "cac:TaxScheme/cbc:ID") or "").strip().upper() == "VAT":
            yield _text(scheme, "cbc:CompanyID", field="VAT number")


def _identifier(element: etree._Element | None) -> Identifier | None:
    text = read_text(text_of(element), field="identifier")
    if element is None or not text:
        return None
    return Identifier(text, read_text(element.get("schemeID"), field="identifier scheme"))


def _find(element: etree._Element, path: str) -> str | None:
    return text_of(element.find(path, _NAMES))


def _text(element: etree._Element, path: str, *, field: str) -> str:
    return read_text(_find(element, path), field=field)
