"""Read what was uploaded: e-documents in confined processes, JSON at once; never in the loop for long."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from services.receivables.domain.documents import DocumentRefused, EInvoice, HostileDocument
from services.receivables.domain.entries import read_json
from services.receivables.domain.findings import Judgement, RulesBroken, decide
from services.receivables.operations.judging.archives import members, unpack
from services.receivables.operations.judging.files import Found, read_file
from shared.runtime.offload import OutOfBounds, confined
from shared.values.policies import policy_on

XML = frozenset({"application/xml", "text/xml"})
JSON = frozenset({"application/json"})
CSV = frozenset({"text/csv"})
NDJSON = frozenset({"application/x-ndjson", "application/jsonl"})
PDF = frozenset({"application/pdf"})
ZIP = frozenset({"application/zip", "application/x-zip-compressed"})
LARGEST_UPLOAD = 32 * 1024 * 1024
OVER_LIMIT = "The file is over 32 MiB."
_AT_ONCE_BYTES = 256 * 1024
_ARCHIVE = b"PK\x03\x04"


class UnsupportedMediaType(ValueError):
    """A media type in which no invoice is read here."""

    code: ClassVar[str] = "unsupported_media_type"

    def __init__(self, *, media_type: str, supported: Collection[str] = XML | JSON | CSV | PDF | ZIP) -> None:
        """Keep what was sent, and what could be."""
        self.media_type = media_type[:80]
        self.supported = sorted(supported)
        super().__init__(f"{self.media_type!r} is not one of {', '.join(self.supported)}.")


@dataclass(frozen=True, slots=True)
class Read:
    """One document as intake sees it: the invoice, with why its findings need a person, or why it is refused."""

    name: str
    judgement: Judgement
    invoice: EInvoice | None = None
    error: Exception | None = None
    reasons: tuple[str, ...] = ()
    data: bytes = b""
    media_type: str = ""


async def read_invoice(data: bytes, *, media_type: str, name: str = "") -> Read:
    """Return one document; what is wrong with it is in the answer. UnsupportedMediaType for any other kind."""
    if media_type in JSON:
        if len(data) <= _AT_ONCE_BYTES:
            return _typed(data, name)
        return await asyncio.to_thread(_typed, data, name)
    if media_type not in XML | PDF:
        raise UnsupportedMediaType(media_type=media_type)
    return await read_one(data, name=name)


async def read_one(data: bytes, *, name: str) -> Read:
    """Return the document of one file that is no archive; one that passes the bounds is refused as hostile."""
    try:
        return settled(await confined().run(read_file, data), name=name, data=data)
    except OutOfBounds as error:
        return Read(name, Judgement(), error=_hostile(error), data=data)


async def read_members(data: bytes, places: Sequence[int], *, names: Sequence[str]) -> list[Read]:
    """Return some of an archive's documents: unpacked together, each read confined by itself."""
    found: list[Read] = []
    while len(found) < len(places):
        for content in await _unpacked(data, places[len(found) :]):
            name = names[places[len(found)]]
            if isinstance(content, bytes):
                found.append(await read_one(content, name=name))
            else:
                found.append(Read(name, Judgement(), error=content))
    return found


async def _unpacked(data: bytes, places: Sequence[int]) -> list[bytes | DocumentRefused]:
    """Return the content of the first of these files; when they pass the bounds together, of the first alone."""
    try:
        return await confined().run(unpack, data, places)
    except OutOfBounds as error:
        return [_hostile(error)] if len(places) == 1 else await _unpacked(data, places[:1])


async def members_of(data: bytes) -> list[str]:
    """Return the names of an archive's files; HostileDocument or UnreadableDocument."""
    try:
        return await confined().run(members, data)
    except OutOfBounds as error:
        raise _hostile(error) from error


async def read_files(data: bytes, *, name: str) -> list[Read]:
    """Return the document of a file, or each of an archive's."""
    if not data.startswith(_ARCHIVE):
        return [await read_one(data, name=name)]
    try:
        names = await members_of(data)
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        return [Read(name, Judgement(), error=error)]
    shown = [f"{name}/{each}" for each in names]
    return await read_members(data, range(len(names)), names=shown)


def settled(found: Found, *, name: str, data: bytes) -> Read:
    """Return what policy makes of a document: taken, for a person to look at, or refused with its findings."""
    judgement, invoice, error = found.judgement, found.invoice, found.error
    reasons: list[str] = []
    if invoice is not None:
        policy = policy_on("intake", on=invoice.issue_date)
        try:
            reasons = decide(judgement, policy=policy.values["findings"])
        except RulesBroken as broken:
            invoice, error = None, broken
    if error is not None and judgement.findings:
        error.__dict__["findings"] = judgement.wire()
    kind = "application/pdf" if b"%PDF" in data[:1024] else "application/xml"
    return Read(name, judgement, invoice, error, tuple(reasons), data, kind)


def _typed(data: bytes, name: str) -> Read:
    return Read(name, Judgement(syntax="json"), invoice=read_json(data), data=data, media_type="application/json")


def _hostile(error: OutOfBounds) -> HostileDocument:
    facts: dict[str, Any] = {"why": error.bound}
    return HostileDocument(f"The document takes more {error.bound} than any invoice.", **facts)
