"""XML from strangers: no doctype, no entities, no network, bounded size and depth."""

from __future__ import annotations

import re

from lxml import etree

from services.receivables.domain.documents import HostileDocument, UnreadableDocument

LARGEST_BYTES = 10 * 1024 * 1024
DEEPEST = 40
_PROLOG = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_ENCODINGS = frozenset(
    {"utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "us-ascii", "ascii", "windows-1252", "gb18030", "gbk", "gb2312"}
)
_LATIN = "iso-8859-"
_TOO_DEEP = etree.XPath("boolean(/" + "/".join(["*"] * (DEEPEST + 1)) + ")")


def parse(data: bytes) -> etree._Element:
    """Return the root of a document; HostileDocument or UnreadableDocument when it is not one that is read here."""
    if len(data) > LARGEST_BYTES:
        raise HostileDocument("The document is larger than any invoice.", largest_bytes=LARGEST_BYTES)
    # In UTF-16 every other byte is zero: without them, what matters here reads as ASCII.
    plain = data.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe")
    declared = _DECLARED.match(plain)
    encoding = declared.group(1).decode().lower() if declared else "utf-8"
    if encoding not in _ENCODINGS and not encoding.startswith(_LATIN):
        raise UnreadableDocument(f"The encoding {encoding!r} is not one that is read here.", encoding=encoding)
    prolog = _PROLOG.match(plain)
    if plain[prolog.end() if prolog else 0 :][:9].upper() == b"<!DOCTYPE":
        raise HostileDocument("The document declares a doctype.", why="doctype")
    # A new parser each time: one that is shared keeps state across documents.
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, dtd_validation=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        message = f"The document is not well-formed at line {line}, column {column}."
        raise UnreadableDocument(message, line=line, column=column) from error
    except (ValueError, LookupError) as error:
        raise UnreadableDocument("The document is not well-formed.") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise HostileDocument("The document declares a doctype.", why="doctype")
    if _TOO_DEEP(root):
        raise HostileDocument("The document is nested deeper than any invoice.", deepest=DEEPEST)
    return root


def text_of(element: etree._Element | None) -> str | None:
    """Return an element's text, None when there is no element."""
    return None if element is None else element.text
