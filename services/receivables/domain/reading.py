"""Read a file: what it is, and the invoice in it. Pure: nothing is stored, nothing is fetched."""

from __future__ import annotations

from lxml import etree

from services.receivables.domain import cii, ubl
from services.receivables.domain.documents import EInvoice, NotAnInvoice, UnreadableDocument, check_financeable
from services.receivables.domain.hardened_xml import parse

_READERS = {ubl.INVOICE: ubl.read_ubl, ubl.CREDIT_NOTE: ubl.read_ubl, cii.INVOICE: cii.read_cii}
# What else is met under the name of an invoice, by its root element.
_OTHER_FORMATS = {
    "FatturaElettronica": "FatturaPA",
    "FatturaElettronicaSemplificata": "FatturaPA",
    "CrossIndustryDocument": "ZUGFeRD 1",
    "Facturae": "Facturae",
    "SCRDMCCBDACIOMessageStructure": "Order-X",
}
_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_OTHER_FILES = {
    b"%PDF": "This is a PDF: send the invoice's XML.",
    b"UNA": "EDIFACT is not read here.",
    b"UNB": "EDIFACT is not read here.",
    b"PK\x03\x04": "This is an archive: send the invoice's XML.",
}


def read_document(data: bytes) -> EInvoice:
    """Return the commercial invoice that the bytes of an e-document hold (UBL 2.1 or CII).

    Raises UnreadableDocument, HostileDocument, NotAnInvoice, UnknownDocumentType, NotFinanceable, NothingPayable
    (each a DocumentRefused), InvalidAmount or UnknownCurrency; each has its `code`.
    """
    return check_financeable(read_root(parse_document(data)))


def parse_document(data: bytes) -> etree._Element:
    """Return the root of an e-document; UnreadableDocument, HostileDocument, or NotAnInvoice for another file."""
    start = data[:512].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    for magic, reason in _OTHER_FILES.items():
        if start.startswith(magic):
            raise NotAnInvoice(reason)
    if not start.startswith(b"<"):
        raise UnreadableDocument("The document is not XML." if start else "The document is empty.")
    return parse(data)


def read_root(root: etree._Element) -> EInvoice:
    """Return the invoice or credit note of a parsed document; NotAnInvoice names what it is instead."""
    reader = _READERS.get(root.tag)
    if reader is None:
        name = etree.QName(root)
        shown, namespace = name.localname[:60], (name.namespace or "")[:200]
        format_ = _OTHER_FORMATS.get(shown, "")
        if format_:
            message = f"This is {format_} ({shown}): send the invoice in UBL 2.1 or CII."
        elif namespace.startswith(_UBL):
            message = f"This is a UBL {shown}, not an invoice."
        else:
            message = f"{shown} is not an invoice in UBL 2.1 or CII."
        raise NotAnInvoice(message, document=shown, namespace=namespace, format=format_)
    return reader(root)
