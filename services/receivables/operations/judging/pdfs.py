"""The invoice that a Factur-X or ZUGFeRD PDF carries; a PDF that does, hides or encrypts anything else is refused."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

from services.receivables.domain.documents import DocumentRefused, HostileDocument, NotAnInvoice
from services.receivables.domain.reading import parse_document

INVOICE_NAMES = ("factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml", "order-x.xml")
# What EN 16931 lets an invoice carry (BT-125); nothing among them runs.
_ATTACHED = (".pdf", ".png", ".jpg", ".jpeg", ".csv", ".xlsx", ".ods", ".xml", ".txt")
_ACTIVE = {"/JS": "script", "/JavaScript": "script", "/XFA": "form", "/RichMedia": "media", "/Launch": "launch"}
_ACTIONS = {
    "/JavaScript": "script",
    "/Launch": "launch",
    "/ImportData": "form",
    "/SubmitForm": "form",
    "/Rendition": "media",
    "/GoToE": "embedded file",
}
_MOST_OBJECTS = 50_000
_DEEPEST = 40
_NONE = "This PDF carries no invoice in XML: send a Factur-X or ZUGFeRD PDF, or the invoice's XML."


def invoice_in_pdf(data: bytes) -> bytes:
    """Return the XML of the invoice that a PDF carries; HostileDocument, or NotAnInvoice when there is none."""
    # Its remarks on strange files quote them: what strangers wrote does not belong in our logs.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    logging.getLogger("factur-x").setLevel(logging.CRITICAL)
    from pypdf.errors import LimitReachedError

    try:
        _look_through(data)
        found = _extracted(data)
    except (DocumentRefused, MemoryError):
        raise
    except LimitReachedError as error:
        raise HostileDocument("The PDF unpacks to far more than it is.", why="size") from error
    except Exception as error:  # a broken PDF makes its reader raise whatever it met
        raise NotAnInvoice("This PDF cannot be read: send the invoice's XML.") from error
    if not found:
        raise NotAnInvoice(_NONE)
    return found


def _look_through(data: bytes) -> None:
    """Refuse what an invoice has no use for; what is attached as the invoice may declare no doctype."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    _refuse_encrypted(reader)
    _refuse_active(reader)
    attached = list(reader.attachment_list)
    if any(not each.name.casefold().endswith(_ATTACHED) for each in attached):
        raise HostileDocument("The PDF carries a file of a kind that no invoice does.", why="embedded file")
    invoices = [each for each in attached if each.name.casefold() in INVOICE_NAMES]
    if not invoices:
        raise NotAnInvoice(_NONE)
    for each in invoices:
        parse_document(each.content)  # no doctype, no entities, before anybody else parses it


def _extracted(data: bytes) -> bytes:
    from facturx import get_xml_from_pdf

    _, found = get_xml_from_pdf(data, check_xsd=False, check_schematron=False, filenames=list(INVOICE_NAMES))
    return bytes(found or b"")


def _refuse_encrypted(reader: Any) -> None:
    if reader.is_encrypted:
        raise HostileDocument("The PDF is encrypted.", why="encrypted")


def _refuse_active(reader: Any) -> None:
    """Look at every object of the file, wherever it hangs."""
    wanted = {number for table in reader.xref.values() for number in table} | set(reader.xref_objStm)
    if len(wanted) > _MOST_OBJECTS:
        raise HostileDocument("The PDF has more objects than any invoice.", why="objects")
    from pypdf.generic import IndirectObject

    seen = 0
    for number in sorted(wanted):
        found = reader.get_object(IndirectObject(number, 0, reader))
        for each in _dictionaries(found, depth=0):
            seen += 1
            if seen > 4 * _MOST_OBJECTS:
                raise HostileDocument("The PDF has more objects than any invoice.", why="objects")
            _refuse_dictionary(each)


def _refuse_dictionary(found: Any) -> None:
    for key, why in _ACTIVE.items():
        if key in found and found.raw_get(key) is not None:
            raise HostileDocument(f"The PDF holds a {why}.", why=why)
    action = _ACTIONS.get(str(found.raw_get("/S"))) if "/S" in found else None
    if action is not None:
        raise HostileDocument(f"The PDF holds a {action}.", why=action)


def _dictionaries(found: Any, *, depth: int) -> Iterator[Any]:
    """Yield the dictionaries of an object; references are not followed, as every object is looked at anyway."""
    from pypdf.generic import ArrayObject, DictionaryObject

    if depth > _DEEPEST:
        raise HostileDocument("The PDF is nested deeper than any invoice.", why="depth")
    if isinstance(found, DictionaryObject):
        yield found
        for key in found:
            yield from _dictionaries(found.raw_get(key), depth=depth + 1)
    elif isinstance(found, ArrayObject):
        for each in list.__iter__(found):
            yield from _dictionaries(each, depth=depth + 1)
