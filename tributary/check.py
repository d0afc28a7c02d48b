"""`tributary check`: judge e-documents as intake would, without storing anything, for ERP teams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from services.receivables.domain.credit_notes import CITES_NONE
from services.receivables.domain.duplicates import stated_reasons
from services.receivables.operations.read_upload import LARGEST_UPLOAD, OVER_LIMIT, Read, read_files
from shared.runtime.offload import close_offload

Xsd = Literal["valid", "invalid", "not_checked"]
Outcome = Literal["accepted", "referred", "refused"]


class NoSuchPath(FileNotFoundError):
    """A path to check is not there."""

    code: ClassVar[str] = "no_such_path"

    def __init__(self, *, path: Path) -> None:
        """Keep the path."""
        self.path = path
        super().__init__(f"{path} does not exist.")


@dataclass(frozen=True, slots=True)
class Judged:
    """What intake would make of one document; what is referred waits for a person, with the reasons.

    `rules` are the packs, with their versions, by which it was judged.
    """

    file: str
    syntax: str | None
    document: str | None
    profile: str | None
    outcome: Outcome
    code: str | None
    message: str | None
    xsd: Xsd
    findings: list[dict[str, Any]] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def check(paths: Sequence[Path]) -> list[Judged]:
    """Judge every file under the paths, folders with what is in them; NoSuchPath when one is missing."""
    try:
        return asyncio.run(_check(_files(paths)))
    finally:
        close_offload()


def report(judged: Iterable[Judged]) -> dict[str, object]:
    """Return the JSON document of the command."""
    return {"documents": [asdict(each) for each in judged]}


async def _check(files: Sequence[tuple[str, Path]]) -> list[Judged]:
    found: list[Judged] = []
    for name, path in files:
        if path.stat().st_size > LARGEST_UPLOAD:
            found.append(_refused(name, "body_too_large", OVER_LIMIT))
            continue
        found += [_judged(each) for each in await read_files(path.read_bytes(), name=name)]
    return found


def _files(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file())
            found += [(str(each.relative_to(path)), each) for each in inside]
        elif path.exists():
            found.append((path.name, path))
        else:
            raise NoSuchPath(path=path)
    return found


def _judged(read: Read) -> Judged:
    judgement, error = read.judgement, read.error
    reasons = list(read.reasons)
    if read.invoice is not None and read.invoice.is_credit_note:
        # Which receivables it lowers depends on what stands; what it does not say no platform knows.
        reasons += [] if read.invoice.cites else [CITES_NONE]
    elif read.invoice is not None:
        reasons += stated_reasons(read.invoice, whole=not judgement.below_en16931)
    outcome: Outcome = "refused" if error else "referred" if reasons else "accepted"
    return Judged(
        read.name,
        judgement.syntax,
        judgement.document,
        judgement.profile,
        outcome,
        str(getattr(error, "code", "refused")) if error else None,
        str(error) if error else None,
        judgement.xsd,
        judgement.wire(),
        list(judgement.packs),
        reasons,
    )


def _refused(name: str, code: str, message: str) -> Judged:
    return Judged(name, None, None, None, "refused", code, message, "not_checked")
