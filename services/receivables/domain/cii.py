"""UN/CEFACT Cross Industry Invoice (CII D16B: Factur-X, ZUGFeRD 2, XRechnung) in business terms."""

from __future__ import annotations

from datetime import date

from lxml import etree

from services.receivables.domain.cii_lines import cii_lines
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
from shared.values.money import Money

_RSM = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
INVOICE = f"{{{_RSM}}}CrossIndustryInvoice"
_NAMES = {
    "rsm": _RSM,
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}
_VAT = "VA"


def read_cii(root: etree._Element) -> EInvoice:
    """Return a CII invoice; the coded errors of documents.py when it is not one that can be financed."""
    document = _need(root, "rsm:ExchangedDocument")
    trade = _need(root, "rsm:SupplyChainTradeTransaction")
    agreement = _need(trade, "ram:ApplicableHeaderTradeAgreement")
    settlement = _need(trade, "ram:ApplicableHeaderTradeSettlement")
    document_type = check_document_type(_text(document, "ram:TypeCode", field="type code"))
    currency = _text(settlement, "ram:InvoiceCurrencyCode", field="currency")
    total = _need(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation")
    return EInvoice(
        syntax="cii",
        document="CrossIndustryInvoice",
        profile=_text(
            root, "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID", field="profile"
        ),
        number=read_number(_find(document, "ram:ID")),
        document_type=document_type,
        issue_date=need_date(_find(document, "ram:IssueDateTime/udt:DateTimeString"), field="issue date"),
        due_date=_due_date(settlement),
        payable=check_payable(read_money(_find(total, "ram:DuePayableAmount"), currency=currency)),
        seller=_party(agreement.find("ram:SellerTradeParty", _NAMES), field="seller"),
        buyer=_party(agreement.find("ram:BuyerTradeParty", _NAMES), field="buyer"),
        payee=_payee(settlement),
        order_reference=_text(
            agreement, "ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID", field="order reference"
        ),
        computed=_computed(total, currency),
        lines=cii_lines(trade, currency=currency),
        cites=read_cited(
            (_find(each, "ram:IssuerAssignedID"), _find(each, "ram:FormattedIssueDateTime/qdt:DateTimeString"))
            for each in settlement.iterfind("ram:InvoiceReferencedDocument", _NAMES)
        ),
    )


def _due_date(settlement: etree._Element) -> date | None:
    """Return BT-9; where there are instalments, the day of the last."""
    path = "ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime/udt:DateTimeString"
    found = (read_date(text_of(each), field="due date") for each in settlement.iterfind(path, _NAMES))
    return max((day for day in found if day is not None), default=None)


def _computed(total: etree._Element, currency: str) -> Money | None:
    gross, prepaid, rounding = (
        _find(total, f"ram:{name}Amount") for name in ("GrandTotal", "TotalPrepaid", "Rounding")
    )
    return computed_payable(gross=gross, prepaid=prepaid, rounding=rounding, currency=currency)


def _payee(settlement: etree._Element) -> Party | None:
    payee = settlement.find("ram:PayeeTradeParty", _NAMES)
    return None if payee is None else _party(payee, field="payee")


def _party(party: etree._Element | None, *, field: str) -> Party:
    if party is None:
        raise UnreadableDocument(f"The document names no {field}.", field=field)
    trading = _text(party, "ram:SpecifiedLegalOrganization/ram:TradingBusinessName", field=field)
    others = (*party.iterfind("ram:GlobalID", _NAMES), *party.iterfind("ram:ID", _NAMES))
    registrations = party.iterfind("ram:SpecifiedTaxRegistration/ram:ID", _NAMES)
    vats = (read_text(each.text, field="VAT number") for each in registrations if each.get("schemeID") == _VAT)
    return Party(
        name=_text(party, "ram:Name", field=field) or trading,
        trading_name=trading,
        vat=next(vats, ""),
        legal=_identifier(party.find("ram:SpecifiedLegalOrganization/ram:ID", _NAMES)),
        electronic=_identifier(party.find("ram:URIUniversalCommunication/ram:URIID", _NAMES)),
        others=tuple(found for each in others if (found := _identifier(each)) is not None),
    )


def _identifier(element: etree._Element | None) -> Identifier | None:
    text = read_text(text_of(element), field="identifier")
    if element is None or not text:
        return None
    return Identifier(text, read_text(element.get("schemeID"), field="identifier scheme"))


def _need(element: etree._Element, path: str) -> etree._Element:
    found = element.find(path, _NAMES)
    if found is None:
        name = path.partition(":")[2]
        raise UnreadableDocument(f"The document has no {name}.", field=name)
    return found


def _find(element: etree._Element, path: str) -> str | None:
    return text_of(element.find(path, _NAMES))


def _text(element: etree._Element, path: str, *, field: str) -> str:
    return read_text(_find(element, path), field=field)
