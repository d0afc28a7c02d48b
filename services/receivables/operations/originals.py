"""What was sent is kept as it came, under the hash of its content; the same bytes are kept once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from services.receivables.domain.findings import Judgement
from shared.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stands behind an invoice: the file as it came, what judging it found; empty of one that came as data."""

    content: bytes = b""
    media_type: str = ""
    judgement: Judgement = field(default_factory=Judgement)
    reasons: tuple[str, ...] = ()

    @property
    def sha256(self) -> str | None:
        """Return the name under which the file is kept."""
        return sha256(self.content).hexdigest() if self.content else None


async def keep_originals(tx: Transaction, evidence: Sequence[Evidence]) -> None:
    """Keep the files that are not kept yet, in the order of their names: two batches may bring the same."""
    files = {name: each for each in evidence if (name := each.sha256) is not None}
    if not files:
        return
    names = sorted(files)
    await tx.pg.execute(
        """INSERT INTO original (sha256, media_type, content)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]) ON CONFLICT DO NOTHING""",
        names,
        [files[name].media_type for name in names],
        [files[name].content for name in names],
    )
