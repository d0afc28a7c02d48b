"""Read orders and notes of deliveries that come as XML: in a confined process, as whatever strangers send."""

from __future__ import annotations

from services.receivables.domain.deliveries import Delivery
from services.receivables.domain.documents import HostileDocument
from services.receivables.domain.orders import Order
from services.receivables.domain.orders_ubl import read_trade_document as read
from services.receivables.operations.originals import Evidence
from services.receivables.operations.read_upload import XML, UnsupportedMediaType
from shared.runtime.offload import OutOfBounds, confined


async def read_trade_document(data: bytes, *, media_type: str) -> tuple[Order | Delivery, Evidence]:
    """Return the order or delivery with the file that stands behind it; a DocumentRefused or UnsupportedMediaType."""
    if media_type not in XML:
        raise UnsupportedMediaType(media_type=media_type)
    try:
        found = await confined().run(read, data)
    except OutOfBounds as error:
        raise HostileDocument(f"The document takes more {error.bound} than any order.", why=error.bound) from error
    return found, Evidence(data, media_type)
