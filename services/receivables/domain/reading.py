"""Read a file: what it is, and the invoice in it. Pure: nothing is stored, nothing is fetched."""

from __future__ import annotations

from lxml import etree

from services.receivables.domain import cii, ubl
from services.receivables.domain.documents import EInvoice, NotAnInvoice, UnreadableDocument
from services.receivables.domain.hardened_xml import parse

_READERS = {ubl.INVOICE: ubl.read_ubl, ubl.CREDIT_NOTE: ubl.read_ubl, cii.INVOICE: cii.read_cii}
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
    start = data[:512].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    for magic, reason in _OTHER_FILES.items():
        if start.startswith(magic):
            raise NotAnInvoice(reason)
    if not start.startswith(b"<"):
        raise UnreadableDocument("The document is not XML." if start else "The document is empty.")
    root = parse(data)
    reader = _READERS.get(root.tag)
    if reader is None:
        name = etree.QName(root)
        shown, namespace = name.localname[:60], (name.namespace or "")[:200]
        message = f"{shown} is not an invoice in UBL 2.1 or CII."
        raise NotAnInvoice(message, document=shown, namespace=namespace)
    return reader(root)
