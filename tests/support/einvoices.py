"""Invoices of our own making: a small writer of UBL 2.1 and of CII, the same facts in either."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape, quoteattr

_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_CII = "urn:un:unece:uncefact:data:standard"
_PROFILE = "urn:cen.eu:en16931:2017"


@dataclass(frozen=True, slots=True)
class Firm:
    """A party as a document names it."""

    name: str
    vat: str = ""
    legal: str = ""
    legal_scheme: str = "0199"
    electronic: str = ""
    trading_name: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The facts of an invoice; the amounts are what is written, right or wrong."""

    seller: Firm
    buyer: Firm
    number: str = "INV-1"
    type_code: str = "380"
    issue_date: date = date(2026, 9, 1)
    due_date: date | None = date(2026, 12, 1)
    currency: str = "CNY"
    gross: str = "1200.00"
    prepaid: str = "200.00"
    payable: str = "1000.00"
    payee: Firm | None = None
    order: str = ""


def ubl(sample: Sample, *, root: str = "Invoice") -> bytes:
    """Return the invoice in UBL 2.1; `root` may make a CreditNote of it."""
    due = f"<cbc:DueDate>{sample.due_date}</cbc:DueDate>" if sample.due_date and root == "Invoice" else ""
    payee = f"<cac:PayeeParty>{_ubl_party(sample.payee)}</cac:PayeeParty>" if sample.payee else ""
    order = f"<cac:OrderReference>{_tag('cbc:ID', sample.order)}</cac:OrderReference>" if sample.order else ""
    unit = f"currencyID={quoteattr(sample.currency)}"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<{root} xmlns="{_UBL}:{root}-2" xmlns:cac="{_UBL}:CommonAggregateComponents-2"
    xmlns:cbc="{_UBL}:CommonBasicComponents-2">
  <cbc:CustomizationID>{_PROFILE}</cbc:CustomizationID>
  {_tag("cbc:ID", sample.number)}<cbc:IssueDate>{sample.issue_date}</cbc:IssueDate>{due}
  {_tag(f"cbc:{root}TypeCode", sample.type_code)}{_tag("cbc:DocumentCurrencyCode", sample.currency)}{order}
  <cac:AccountingSupplierParty><cac:Party>{_ubl_party(sample.seller)}</cac:Party></cac:AccountingSupplierParty>
  <cac:AccountingCustomerParty><cac:Party>{_ubl_party(sample.buyer)}</cac:Party></cac:AccountingCustomerParty>
  {payee}
  <cac:LegalMonetaryTotal>
    <cbc:TaxInclusiveAmount {unit}>{sample.gross}</cbc:TaxInclusiveAmount>
    <cbc:PrepaidAmount {unit}>{sample.prepaid}</cbc:PrepaidAmount>
    <cbc:PayableAmount {unit}>{sample.payable}</cbc:PayableAmount>
  </cac:LegalMonetaryTotal>
</{root}>
""".encode()


def cii(sample: Sample) -> bytes:
    """Return the invoice in UN/CEFACT CII."""
    due = ""
    if sample.due_date:
        stamp = _stamp(sample.due_date)
        due = f"""<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime>{stamp}</ram:DueDateDateTime>
        </ram:SpecifiedTradePaymentTerms>"""
    payee = f"<ram:PayeeTradeParty>{_cii_party(sample.payee)}</ram:PayeeTradeParty>" if sample.payee else ""
    order = ""
    if sample.order:
        named = _tag("ram:IssuerAssignedID", sample.order)
        order = f"<ram:BuyerOrderReferencedDocument>{named}</ram:BuyerOrderReferencedDocument>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="{_CII}:CrossIndustryInvoice:100"
    xmlns:ram="{_CII}:ReusableAggregateBusinessInformationEntity:100" xmlns:udt="{_CII}:UnqualifiedDataType:100">
  <rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>{_PROFILE}</ram:ID>
  </ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
  <rsm:ExchangedDocument>{_tag("ram:ID", sample.number)}{_tag("ram:TypeCode", sample.type_code)}
    <ram:IssueDateTime>{_stamp(sample.issue_date)}</ram:IssueDateTime></rsm:ExchangedDocument>
  <rsm:SupplyChainTradeTransaction>
    <ram:ApplicableHeaderTradeAgreement>
      <ram:SellerTradeParty>{_cii_party(sample.seller)}</ram:SellerTradeParty>
      <ram:BuyerTradeParty>{_cii_party(sample.buyer)}</ram:BuyerTradeParty>{order}
    </ram:ApplicableHeaderTradeAgreement>
    <ram:ApplicableHeaderTradeDelivery/>
    <ram:ApplicableHeaderTradeSettlement>
      {_tag("ram:InvoiceCurrencyCode", sample.currency)}{payee}{due}
      <ram:SpecifiedTradeSettlementHeaderMonetarySummation>
        <ram:GrandTotalAmount>{sample.gross}</ram:GrandTotalAmount>
        <ram:TotalPrepaidAmount>{sample.prepaid}</ram:TotalPrepaidAmount>
        <ram:DuePayableAmount>{sample.payable}</ram:DuePayableAmount>
      </ram:SpecifiedTradeSettlementHeaderMonetarySummation>
    </ram:ApplicableHeaderTradeSettlement>
  </rsm:SupplyChainTradeTransaction>
</rsm:CrossIndustryInvoice>
""".encode()


def _ubl_party(firm: Firm) -> str:
    electronic = (
        f'<cbc:EndpointID schemeID="0088">{escape(firm.electronic)}</cbc:EndpointID>' if firm.electronic else ""
    )
    trading = f"<cac:PartyName>{_tag('cbc:Name', firm.trading_name)}</cac:PartyName>" if firm.trading_name else ""
    vat = ""
    if firm.vat:
        scheme = "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
        vat = f"<cac:PartyTaxScheme>{_tag('cbc:CompanyID', firm.vat)}{scheme}</cac:PartyTaxScheme>"
    legal = f"<cbc:CompanyID schemeID={quoteattr(firm.legal_scheme)}>{escape(firm.legal)}</cbc:CompanyID>"
    registered = f"{_tag('cbc:RegistrationName', firm.name)}{legal if firm.legal else ''}"
    return f"{electronic}{trading}{vat}<cac:PartyLegalEntity>{registered}</cac:PartyLegalEntity>"


def _cii_party(firm: Firm) -> str:
    legal = f"<ram:ID schemeID={quoteattr(firm.legal_scheme)}>{escape(firm.legal)}</ram:ID>" if firm.legal else ""
    trading = _tag("ram:TradingBusinessName", firm.trading_name) if firm.trading_name else ""
    organisation = f"<ram:SpecifiedLegalOrganization>{legal}{trading}</ram:SpecifiedLegalOrganization>"
    electronic = ""
    if firm.electronic:
        address = f'<ram:URIID schemeID="0088">{escape(firm.electronic)}</ram:URIID>'
        electronic = f"<ram:URIUniversalCommunication>{address}</ram:URIUniversalCommunication>"
    vat = ""
    if firm.vat:
        number = f'<ram:ID schemeID="VA">{escape(firm.vat)}</ram:ID>'
        vat = f"<ram:SpecifiedTaxRegistration>{number}</ram:SpecifiedTaxRegistration>"
    return f"{_tag('ram:Name', firm.name)}{organisation if legal or trading else ''}{electronic}{vat}"


def _stamp(day: date) -> str:
    return f'<udt:DateTimeString format="102">{day:%Y%m%d}</udt:DateTimeString>'


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"
