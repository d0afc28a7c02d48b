"""Read what was uploaded, by its media type, without holding up the loop."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from services.receivables.domain.documents import EInvoice
from services.receivables.domain.entries import read_json
from services.receivables.domain.reading import read_document

XML = frozenset({"application/xml", "text/xml"})
JSON = frozenset({"application/json"})
CSV = frozenset({"text/csv"})
_AT_ONCE_BYTES = 256 * 1024


class UnsupportedMediaType(ValueError):
    """A media type in which no invoice is read here."""

    code: ClassVar[str] = "unsupported_media_type"

    def __init__(self, *, media_type: str) -> None:
        """Keep what was sent."""
        self.media_type = media_type[:80]
        self.supported = sorted(XML | JSON | CSV)
        super().__init__(f"{self.media_type!r} is not one of {', '.join(self.supported)}.")


async def read_invoice(data: bytes, *, media_type: str) -> EInvoice:
    """Return the invoice of one document; UnsupportedMediaType, or what its reader raises."""
    if media_type not in XML | JSON:
        raise UnsupportedMediaType(media_type=media_type)
    reader = read_json if media_type in JSON else read_document
    if len(data) <= _AT_ONCE_BYTES:
        return reader(data)
    # libxml2 lets go of the interpreter while it parses, so that a thread is enough.
    return await asyncio.to_thread(reader, data)
