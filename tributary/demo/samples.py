"""Invoices made by code: UBL 2.1, UN/CEFACT CII, JSON and CSV, and files that are none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape
from zlib import crc32

from shared.values.money import minor_text, round_half_even
from tributary.demo.plan import Firm

_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_CII = "urn:un:unece:uncefact:data:standard"
_EN16931 = "urn:cen.eu:en16931:2017"
_VAT_PERCENT = 13
_TERMS = "As agreed."
CSV_HEADER = (
    "seller_id",
    "obligor_id",
    "number",
    "document_type",
    "issue_date",
    "due_date",
    "amount",
    "currency",
    "order_reference",
)


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice with one line and one VAT rate; what is prepaid is not payable any more (R7)."""

    number: str
    seller: Firm
    buyer: Firm
    issue_date: date
    due_date: date | None
    net_minor: int
    currency: str
    prepaid_minor: int = 0
    document_type: str = "380"
    order_reference: str = "PO-1"
    payee: str = ""

    @property
    def tax_minor(self) -> int:
        """Return the VAT."""
        return round_half_even(numerator=self.net_minor * _VAT_PERCENT, denominator=100)

    @property
    def gross_minor(self) -> int:
        """Return net and VAT."""
        return self.net_minor + self.tax_minor

    @property
    def payable_minor(self) -> int:
        """Return what is still to be paid: BT-115."""
        return self.gross_minor - self.prepaid_minor

    def text(self, amount_minor: int) -> str:
        """Return an amount as a document writes it."""
        return minor_text(amount_minor=amount_minor, currency=self.currency)


def ubl_invoice(invoice: Invoice) -> bytes:
    """Return the invoice as a UBL 2.1 Invoice."""
    due = f"<cbc:DueDate>{invoice.due_date}</cbc:DueDate>" if invoice.due_date else ""
    code = f"<cbc:InvoiceTypeCode>{invoice.document_type}</cbc:InvoiceTypeCode>"
    return _ubl("Invoice", invoice, head=due + code, line="InvoiceLine", quantity="InvoicedQuantity")


def ubl_credit_note(invoice: Invoice) -> bytes:
    """Return a UBL 2.1 CreditNote."""
    code = "<cbc:CreditNoteTypeCode>381</cbc:CreditNoteTypeCode>"
    return _ubl("CreditNote", invoice, head=code, line="CreditNoteLine", quantity="CreditedQuantity")


def _ubl(root: str, invoice: Invoice, *, head: str, line: str, quantity: str) -> bytes:
    def amount(name: str, value: int) -> str:
        return f'<cbc:{name} currencyID="{invoice.currency}">{invoice.text(value)}</cbc:{name}>'

    category = (
        f"<cbc:ID>S</cbc:ID><cbc:Percent>{_VAT_PERCENT}</cbc:Percent>"
        "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
    )
    payee = ""
    if invoice.payee:
        name = escape(invoice.payee)
        payee = f"<cac:PayeeParty><cac:PartyName><cbc:Name>{name}</cbc:Name></cac:PartyName></cac:PayeeParty>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<{root} xmlns="{_UBL}:{root}-2" xmlns:cac="{_UBL}:CommonAggregateComponents-2"
  xmlns:cbc="{_UBL}:CommonBasicComponents-2">
<cbc:CustomizationID>{_EN16931}</cbc:CustomizationID>
<cbc:ID>{escape(invoice.number)}</cbc:ID><cbc:IssueDate>{invoice.issue_date}</cbc:IssueDate>{head}
<cbc:DocumentCurrencyCode>{invoice.currency}</cbc:DocumentCurrencyCode>
<cac:OrderReference><cbc:ID>{escape(invoice.order_reference)}</cbc:ID></cac:OrderReference>
<cac:AccountingSupplierParty>{_ubl_party(invoice.seller, sells=True)}</cac:AccountingSupplierParty>
<cac:AccountingCustomerParty>{_ubl_party(invoice.buyer)}</cac:AccountingCustomerParty>{payee}
<cac:PaymentTerms><cbc:Note>{_TERMS}</cbc:Note></cac:PaymentTerms>
<cac:TaxTotal>{amount("TaxAmount", invoice.tax_minor)}<cac:TaxSubtotal>
{amount("TaxableAmount", invoice.net_minor)}{amount("TaxAmount", invoice.tax_minor)}
<cac:TaxCategory>{category}</cac:TaxCategory></cac:TaxSubtotal></cac:TaxTotal>
<cac:LegalMonetaryTotal>{amount("LineExtensionAmount", invoice.net_minor)}
{amount("TaxExclusiveAmount", invoice.net_minor)}{amount("TaxInclusiveAmount", invoice.gross_minor)}
{amount("PrepaidAmount", invoice.prepaid_minor)}{amount("PayableAmount", invoice.payable_minor)}
</cac:LegalMonetaryTotal>
<cac:{line}><cbc:ID>1</cbc:ID><cbc:{quantity} unitCode="C62">1</cbc:{quantity}>
{amount("LineExtensionAmount", invoice.net_minor)}
<cac:Item><cbc:Name>Machined parts</cbc:Name>
<cac:ClassifiedTaxCategory>{category}</cac:ClassifiedTaxCategory></cac:Item>
<cac:Price>{amount("PriceAmount", invoice.net_minor)}</cac:Price></cac:{line}>
</{root}>
""".encode()


def _ubl_party(firm: Firm, *, sells: bool = False) -> str:
    unnamed = tax = ""
    if sells:
        scheme = "<cac:TaxScheme><cbc:ID>TAX</cbc:ID></cac:TaxScheme>"
        tax = f"<cac:PartyTaxScheme><cbc:CompanyID>{_tax_number(firm)}</cbc:CompanyID>{scheme}</cac:PartyTaxScheme>"
        if not firm.identifiers:
            unnamed = f"<cac:PartyIdentification><cbc:ID>{_tax_number(firm)}</cbc:ID></cac:PartyIdentification>"
    identifiers = "".join(f"<cbc:CompanyID>{text}</cbc:CompanyID>" for text in firm.identifiers.values())
    return (
        f"<cac:Party>{unnamed}<cac:PostalAddress><cac:Country><cbc:IdentificationCode>{firm.country}</cbc:IdentificationCode>"
        f"</cac:Country></cac:PostalAddress>{tax}<cac:PartyLegalEntity>"
        f"<cbc:RegistrationName>{escape(firm.name)}</cbc:RegistrationName>{identifiers}</cac:PartyLegalEntity></cac:Party>"
    )


def cii_invoice(invoice: Invoice) -> bytes:
    """Return the invoice as a UN/CEFACT Cross Industry Invoice."""
    due = ""
    if invoice.due_date:
        day = f"{invoice.due_date:%Y%m%d}"
        due = f'<ram:DueDateDateTime><udt:DateTimeString format="102">{day}</udt:DateTimeString></ram:DueDateDateTime>'
    description = f"<ram:Description>{_TERMS}</ram:Description>"
    terms = f"<ram:SpecifiedTradePaymentTerms>{description}{due}</ram:SpecifiedTradePaymentTerms>"
    tax = "<ram:TypeCode>VAT</ram:TypeCode><ram:CategoryCode>S</ram:CategoryCode>"
    percent = f"<ram:RateApplicablePercent>{_VAT_PERCENT}</ram:RateApplicablePercent>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="{_CII}:CrossIndustryInvoice:100"
  xmlns:ram="{_CII}:ReusableAggregateBusinessInformationEntity:100" xmlns:udt="{_CII}:UnqualifiedDataType:100">
<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>{_EN16931}</ram:ID>
</ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
<rsm:ExchangedDocument><ram:ID>{escape(invoice.number)}</ram:ID><ram:TypeCode>{invoice.document_type}</ram:TypeCode>
<ram:IssueDateTime><udt:DateTimeString format="102">{invoice.issue_date:%Y%m%d}</udt:DateTimeString></ram:IssueDateTime>
</rsm:ExchangedDocument>
<rsm:SupplyChainTradeTransaction><ram:IncludedSupplyChainTradeLineItem>
<ram:AssociatedDocumentLineDocument><ram:LineID>1</ram:LineID></ram:AssociatedDocumentLineDocument>
<ram:SpecifiedTradeProduct><ram:Name>Machined parts</ram:Name></ram:SpecifiedTradeProduct>
<ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice>
<ram:ChargeAmount>{invoice.text(invoice.net_minor)}</ram:ChargeAmount></ram:NetPriceProductTradePrice>
</ram:SpecifiedLineTradeAgreement>
<ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="C62">1</ram:BilledQuantity>
</ram:SpecifiedLineTradeDelivery>
<ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax>{tax}{percent}</ram:ApplicableTradeTax>
<ram:SpecifiedTradeSettlementLineMonetarySummation>
<ram:LineTotalAmount>{invoice.text(invoice.net_minor)}</ram:LineTotalAmount>
</ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>
</ram:IncludedSupplyChainTradeLineItem>
<ram:ApplicableHeaderTradeAgreement>
<ram:SellerTradeParty>{_cii_party(invoice.seller, sells=True)}</ram:SellerTradeParty>
<ram:BuyerTradeParty>{_cii_party(invoice.buyer)}</ram:BuyerTradeParty>
<ram:BuyerOrderReferencedDocument><ram:IssuerAssignedID>{escape(invoice.order_reference)}</ram:IssuerAssignedID>
</ram:BuyerOrderReferencedDocument></ram:ApplicableHeaderTradeAgreement>
<ram:ApplicableHeaderTradeDelivery/>
<ram:ApplicableHeaderTradeSettlement><ram:InvoiceCurrencyCode>{invoice.currency}</ram:InvoiceCurrencyCode>
<ram:ApplicableTradeTax><ram:CalculatedAmount>{invoice.text(invoice.tax_minor)}</ram:CalculatedAmount>
<ram:TypeCode>VAT</ram:TypeCode><ram:BasisAmount>{invoice.text(invoice.net_minor)}</ram:BasisAmount>
<ram:CategoryCode>S</ram:CategoryCode>{percent}</ram:ApplicableTradeTax>{terms}
<ram:SpecifiedTradeSettlementHeaderMonetarySummation>
<ram:LineTotalAmount>{invoice.text(invoice.net_minor)}</ram:LineTotalAmount>
<ram:TaxBasisTotalAmount>{invoice.text(invoice.net_minor)}</ram:TaxBasisTotalAmount>
<ram:TaxTotalAmount currencyID="{invoice.currency}">{invoice.text(invoice.tax_minor)}</ram:TaxTotalAmount>
<ram:GrandTotalAmount>{invoice.text(invoice.gross_minor)}</ram:GrandTotalAmount>
<ram:TotalPrepaidAmount>{invoice.text(invoice.prepaid_minor)}</ram:TotalPrepaidAmount>
<ram:DuePayableAmount>{invoice.text(invoice.payable_minor)}</ram:DuePayableAmount>
</ram:SpecifiedTradeSettlementHeaderMonetarySummation></ram:ApplicableHeaderTradeSettlement>
</rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>
""".encode()


def _cii_party(firm: Firm, *, sells: bool = False) -> str:
    unnamed = tax = ""
    if sells:
        number = f'<ram:ID schemeID="FC">{_tax_number(firm)}</ram:ID>'
        tax = f"<ram:SpecifiedTaxRegistration>{number}</ram:SpecifiedTaxRegistration>"
        unnamed = "" if firm.identifiers else f"<ram:ID>{_tax_number(firm)}</ram:ID>"
    identifiers = "".join(f"<ram:ID>{text}</ram:ID>" for text in firm.identifiers.values())
    legal = f"<ram:SpecifiedLegalOrganization>{identifiers}</ram:SpecifiedLegalOrganization>" if identifiers else ""
    return (
        f"{unnamed}<ram:Name>{escape(firm.name)}</ram:Name>{legal}"
        f"<ram:PostalTradeAddress><ram:CountryID>{firm.country}</ram:CountryID></ram:PostalTradeAddress>{tax}"
    )


def _tax_number(firm: Firm) -> str:
    """Return the number under which a seller pays its VAT (BT-32); one without any identifier has a local one."""
    return next(iter(firm.identifiers.values()), f"local-{crc32(firm.name.encode()):08x}")


def json_invoice(invoice: Invoice, *, ids: Mapping[str, str]) -> bytes:
    """Return the invoice in the platform's own JSON: parties by their ids here."""
    document = {
        "seller_id": ids[invoice.seller.key],
        "obligor_id": ids[invoice.buyer.key],
        "number": invoice.number,
        "document_type": invoice.document_type,
        "issue_date": invoice.issue_date.isoformat(),
        "due_date": invoice.due_date.isoformat() if invoice.due_date else None,
        "payable": {"amount": invoice.text(invoice.payable_minor), "currency": invoice.currency},
        "order_reference": invoice.order_reference,
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def csv_invoices(invoices: Sequence[Invoice], *, ids: Mapping[str, str]) -> bytes:
    """Return many invoices as one CSV, a row each."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(CSV_HEADER)
    for each in invoices:
        amount = each.text(each.payable_minor)
        parties = (ids[each.seller.key], ids[each.buyer.key])
        dates = (each.issue_date, each.due_date or "")
        writer.writerow(
            (*parties, each.number, each.document_type, *dates, amount, each.currency, each.order_reference)
        )
    return stream.getvalue().encode()


def ubl_order(*, number: str, buyer: Firm, seller: Firm, issued: date) -> bytes:
    """Return a UBL order: business, but no invoice."""
    parties = (
        f"<cac:BuyerCustomerParty>{_ubl_party(buyer)}</cac:BuyerCustomerParty>"
        f"<cac:SellerSupplierParty>{_ubl_party(seller)}</cac:SellerSupplierParty>"
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Order xmlns="{_UBL}:Order-2" xmlns:cac="{_UBL}:CommonAggregateComponents-2"
  xmlns:cbc="{_UBL}:CommonBasicComponents-2"><cbc:ID>{number}</cbc:ID><cbc:IssueDate>{issued}</cbc:IssueDate>{parties}
</Order>
""".encode()
