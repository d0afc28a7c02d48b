"""Invoices of our own making: a small writer of UBL 2.1 and of CII, the same facts in either, as EN 16931 asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape, quoteattr

_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_CII = "urn:un:unece:uncefact:data:standard"
_PROFILE = "urn:cen.eu:en16931:2017"
_TERMS = "As agreed."
_EXEMPT = "Exempt in this example."
# A seller that has no other identifier has one that nobody registered.
_UNKNOWN = "LOCAL-0001"
_COUNTRY = "CN"


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
    cites: tuple[tuple[str, date | None], ...] = ()


def ubl(sample: Sample, *, root: str = "Invoice") -> bytes:
    """Return the invoice in UBL 2.1; `root` may make a CreditNote of it."""
    due = f"<cbc:DueDate>{sample.due_date}</cbc:DueDate>" if sample.due_date and root == "Invoice" else ""
    payee = ""
    if sample.payee:
        payee = f"<cac:PayeeParty><cac:PartyName>{_tag('cbc:Name', sample.payee.name)}</cac:PartyName></cac:PayeeParty>"
    order = f"<cac:OrderReference>{_tag('cbc:ID', sample.order)}</cac:OrderReference>" if sample.order else ""
    billing = "".join(
        f"<cac:BillingReference><cac:InvoiceDocumentReference>{_tag('cbc:ID', number)}"
        f"{_tag('cbc:IssueDate', str(day)) if day else ''}</cac:InvoiceDocumentReference></cac:BillingReference>"
        for number, day in sample.cites
    )
    unit = f"currencyID={quoteattr(sample.currency)}"
    quantity = "InvoicedQuantity" if root == "Invoice" else "CreditedQuantity"
    category = "<cbc:ID>E</cbc:ID><cbc:Percent>0</cbc:Percent>"
    scheme = "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<{root} xmlns="{_UBL}:{root}-2" xmlns:cac="{_UBL}:CommonAggregateComponents-2"
    xmlns:cbc="{_UBL}:CommonBasicComponents-2">
  <cbc:CustomizationID>{_PROFILE}</cbc:CustomizationID>
  {_tag("cbc:ID", sample.number)}<cbc:IssueDate>{sample.issue_date}</cbc:IssueDate>{due}
  {_tag(f"cbc:{root}TypeCode", sample.type_code)}{_tag("cbc:DocumentCurrencyCode", sample.currency)}{order}{billing}
  <cac:AccountingSupplierParty>{_ubl_party(sample.seller, sells=True)}</cac:AccountingSupplierParty>
  <cac:AccountingCustomerParty>{_ubl_party(sample.buyer, sells=False)}</cac:AccountingCustomerParty>
  {payee}
  <cac:PaymentTerms><cbc:Note>{_TERMS}</cbc:Note></cac:PaymentTerms>
  <cac:TaxTotal><cbc:TaxAmount {unit}>0.00</cbc:TaxAmount><cac:TaxSubtotal>
    <cbc:TaxableAmount {unit}>{sample.gross}</cbc:TaxableAmount><cbc:TaxAmount {unit}>0.00</cbc:TaxAmount>
    <cac:TaxCategory>{category}<cbc:TaxExemptionReason>{_EXEMPT}</cbc:TaxExemptionReason>{scheme}</cac:TaxCategory>
  </cac:TaxSubtotal></cac:TaxTotal>
  <cac:LegalMonetaryTotal>
    <cbc:LineExtensionAmount {unit}>{sample.gross}</cbc:LineExtensionAmount>
    <cbc:TaxExclusiveAmount {unit}>{sample.gross}</cbc:TaxExclusiveAmount>
    <cbc:TaxInclusiveAmount {unit}>{sample.gross}</cbc:TaxInclusiveAmount>
    <cbc:PrepaidAmount {unit}>{sample.prepaid}</cbc:PrepaidAmount>
    <cbc:PayableAmount {unit}>{sample.payable}</cbc:PayableAmount>
  </cac:LegalMonetaryTotal>
  <cac:{root}Line><cbc:ID>1</cbc:ID><cbc:{quantity} unitCode="C62">1</cbc:{quantity}>
    <cbc:LineExtensionAmount {unit}>{sample.gross}</cbc:LineExtensionAmount>
    <cac:Item><cbc:Name>Parts</cbc:Name><cac:ClassifiedTaxCategory>{category}{scheme}</cac:ClassifiedTaxCategory>
    </cac:Item><cac:Price><cbc:PriceAmount {unit}>{sample.gross}</cbc:PriceAmount></cac:Price></cac:{root}Line>
</{root}>
""".encode()


def cii(sample: Sample) -> bytes:
    """Return the invoice in UN/CEFACT CII."""
    due = ""
    if sample.due_date:
        due = f"<ram:DueDateDateTime>{_stamp(sample.due_date)}</ram:DueDateDateTime>"
    terms = f"<ram:Description>{_TERMS}</ram:Description>{due}"
    payee = ""
    if sample.payee:
        trading = _tag("ram:TradingBusinessName", sample.payee.name)
        organisation = f"<ram:SpecifiedLegalOrganization>{trading}</ram:SpecifiedLegalOrganization>"
        payee = f"<ram:PayeeTradeParty>{_tag('ram:Name', sample.payee.name)}{organisation}</ram:PayeeTradeParty>"
    order = ""
    if sample.order:
        named = _tag("ram:IssuerAssignedID", sample.order)
        order = f"<ram:BuyerOrderReferencedDocument>{named}</ram:BuyerOrderReferencedDocument>"
    cited = "".join(
        f"<ram:InvoiceReferencedDocument>{_tag('ram:IssuerAssignedID', number)}"
        f"{_formatted(day) if day else ''}</ram:InvoiceReferencedDocument>"
        for number, day in sample.cites
    )
    category = "<ram:CategoryCode>E</ram:CategoryCode><ram:RateApplicablePercent>0</ram:RateApplicablePercent>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="{_CII}:CrossIndustryInvoice:100"
    xmlns:ram="{_CII}:ReusableAggregateBusinessInformationEntity:100" xmlns:udt="{_CII}:UnqualifiedDataType:100"
    xmlns:qdt="{_CII}:QualifiedDataType:100">
  <rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>{_PROFILE}</ram:ID>
  </ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
  <rsm:ExchangedDocument>{_tag("ram:ID", sample.number)}{_tag("ram:TypeCode", sample.type_code)}
    <ram:IssueDateTime>{_stamp(sample.issue_date)}</ram:IssueDateTime></rsm:ExchangedDocument>
  <rsm:SupplyChainTradeTransaction>
    <ram:IncludedSupplyChainTradeLineItem>
      <ram:AssociatedDocumentLineDocument><ram:LineID>1</ram:LineID></ram:AssociatedDocumentLineDocument>
      <ram:SpecifiedTradeProduct><ram:Name>Parts</ram:Name></ram:SpecifiedTradeProduct>
      <ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice>
        <ram:ChargeAmount>{sample.gross}</ram:ChargeAmount></ram:NetPriceProductTradePrice>
      </ram:SpecifiedLineTradeAgreement>
      <ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="C62">1</ram:BilledQuantity>
      </ram:SpecifiedLineTradeDelivery>
      <ram:SpecifiedLineTradeSettlement>
        <ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode>{category}</ram:ApplicableTradeTax>
        <ram:SpecifiedTradeSettlementLineMonetarySummation>
          <ram:LineTotalAmount>{sample.gross}</ram:LineTotalAmount>
        </ram:SpecifiedTradeSettlementLineMonetarySummation>
      </ram:SpecifiedLineTradeSettlement>
    </ram:IncludedSupplyChainTradeLineItem>
    <ram:ApplicableHeaderTradeAgreement>
      <ram:SellerTradeParty>{_cii_party(sample.seller, sells=True)}</ram:SellerTradeParty>
      <ram:BuyerTradeParty>{_cii_party(sample.buyer, sells=False)}</ram:BuyerTradeParty>{order}
    </ram:ApplicableHeaderTradeAgreement>
    <ram:ApplicableHeaderTradeDelivery/>
    <ram:ApplicableHeaderTradeSettlement>
      {_tag("ram:InvoiceCurrencyCode", sample.currency)}{payee}
      <ram:ApplicableTradeTax><ram:CalculatedAmount>0.00</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode>
        <ram:ExemptionReason>{_EXEMPT}</ram:ExemptionReason><ram:BasisAmount>{sample.gross}</ram:BasisAmount>{category}
      </ram:ApplicableTradeTax>
      <ram:SpecifiedTradePaymentTerms>{terms}</ram:SpecifiedTradePaymentTerms>
      <ram:SpecifiedTradeSettlementHeaderMonetarySummation>
        <ram:LineTotalAmount>{sample.gross}</ram:LineTotalAmount>
        <ram:TaxBasisTotalAmount>{sample.gross}</ram:TaxBasisTotalAmount>
        <ram:TaxTotalAmount currencyID={quoteattr(sample.currency)}>0.00</ram:TaxTotalAmount>
        <ram:GrandTotalAmount>{sample.gross}</ram:GrandTotalAmount>
        <ram:TotalPrepaidAmount>{sample.prepaid}</ram:TotalPrepaidAmount>
        <ram:DuePayableAmount>{sample.payable}</ram:DuePayableAmount>
      </ram:SpecifiedTradeSettlementHeaderMonetarySummation>{cited}
    </ram:ApplicableHeaderTradeSettlement>
  </rsm:SupplyChainTradeTransaction>
</rsm:CrossIndustryInvoice>
""".encode()


def _ubl_party(firm: Firm, *, sells: bool) -> str:
    electronic = (
        f'<cbc:EndpointID schemeID="0088">{escape(firm.electronic)}</cbc:EndpointID>' if firm.electronic else ""
    )
    other = f"<cac:PartyIdentification><cbc:ID>{_UNKNOWN}</cbc:ID></cac:PartyIdentification>"
    trading = f"<cac:PartyName>{_tag('cbc:Name', firm.trading_name)}</cac:PartyName>" if firm.trading_name else ""
    country = f"<cac:Country><cbc:IdentificationCode>{_COUNTRY}</cbc:IdentificationCode></cac:Country>"
    taxes = [(firm.vat, "VAT")] if firm.vat else []
    taxes += [("TAX-1", "TAX")] if sells else []
    tax = "".join(
        f"<cac:PartyTaxScheme>{_tag('cbc:CompanyID', number)}"
        f"<cac:TaxScheme><cbc:ID>{scheme}</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme>"
        for number, scheme in taxes
    )
    legal = f"<cbc:CompanyID schemeID={quoteattr(firm.legal_scheme)}>{escape(firm.legal)}</cbc:CompanyID>"
    registered = f"{_tag('cbc:RegistrationName', firm.name)}{legal if firm.legal else ''}"
    return (
        f"<cac:Party>{electronic}{other if sells and not (firm.vat or firm.legal) else ''}{trading}"
        f"<cac:PostalAddress>{country}</cac:PostalAddress>{tax}"
        f"<cac:PartyLegalEntity>{registered}</cac:PartyLegalEntity></cac:Party>"
    )


def _cii_party(firm: Firm, *, sells: bool) -> str:
    other = f"<ram:ID>{_UNKNOWN}</ram:ID>" if sells and not (firm.vat or firm.legal) else ""
    legal = f"<ram:ID schemeID={quoteattr(firm.legal_scheme)}>{escape(firm.legal)}</ram:ID>" if firm.legal else ""
    trading = _tag("ram:TradingBusinessName", firm.trading_name) if firm.trading_name else ""
    organisation = f"<ram:SpecifiedLegalOrganization>{legal}{trading}</ram:SpecifiedLegalOrganization>"
    address = f"<ram:PostalTradeAddress><ram:CountryID>{_COUNTRY}</ram:CountryID></ram:PostalTradeAddress>"
    electronic = ""
    if firm.electronic:
        uri = f'<ram:URIID schemeID="0088">{escape(firm.electronic)}</ram:URIID>'
        electronic = f"<ram:URIUniversalCommunication>{uri}</ram:URIUniversalCommunication>"
    taxes = [(firm.vat, "VA")] if firm.vat else []
    taxes += [("TAX-1", "FC")] if sells else []
    tax = "".join(
        f'<ram:SpecifiedTaxRegistration><ram:ID schemeID="{scheme}">{escape(number)}</ram:ID>'
        "</ram:SpecifiedTaxRegistration>"
        for number, scheme in taxes
    )
    name = _tag("ram:Name", firm.name)
    return f"{other}{name}{organisation if legal or trading else ''}{address}{electronic}{tax}"


def _stamp(day: date) -> str:
    return f'<udt:DateTimeString format="102">{day:%Y%m%d}</udt:DateTimeString>'


def _formatted(day: date) -> str:
    text = f'<qdt:DateTimeString format="102">{day:%Y%m%d}</qdt:DateTimeString>'
    return f"<ram:FormattedIssueDateTime>{text}</ram:FormattedIssueDateTime>"


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"
