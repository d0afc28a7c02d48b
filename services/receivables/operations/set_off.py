"""Set off the legs of a netting that every party accepted: all of them fell, or none (R14).

Here and nowhere else it is decided, because here are the locks: whoever assigns, vouchers, disputes or dilutes a
receivable locks the same row, so that one of the two comes first and the other sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.receivables.domain.assigning import Refusal
from services.receivables.domain.receivables import State
from services.receivables.domain.setting_off import Claim, why_not_set_off
from services.receivables.operations.lowering import SOURCE, Locked, Lowering, lock_to_lower
from shared.events.envelope import Received
from shared.events.receivables import SetOffMade, SetOffRefused
from shared.events.settlement import NettingAccepted
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction, by_column
from shared.values.money import Money

_KEEP = """
INSERT INTO set_off (netting_id, refused, receivable_id, code)
SELECT * FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[])
"""


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why none of a netting's legs fell, and which was in the way."""

    receivable_id: str
    refusal: Refusal


async def set_off(tx: Transaction, events: Sequence[Received]) -> None:
    """Set accepted nettings off, each whole or not at all, and answer each once."""
    accepted = [event.event for event in events if isinstance(event.event, NettingAccepted)]
    rows = await tx.pg.fetch(
        "SELECT netting_id FROM set_off WHERE netting_id = ANY($1)", [each.netting_id for each in accepted]
    )
    answered = {row["netting_id"] for row in rows}
    fresh = [each for each in accepted if each.netting_id not in answered]
    lowering = await lock_to_lower(tx, [leg.receivable_id for each in fresh for leg in each.legs])
    answers = [(each, _fall(lowering, each)) for each in fresh]
    kept = [
        (each.netting_id, why is not None, why and why.receivable_id, why and why.refusal.code) for each, why in answers
    ]
    await tx.pg.execute(_KEEP, *by_column(kept, width=4))
    await lowering.write(tx)
    said = [_answer(each, why) for each, why in answers]
    await append(tx, said, source=SOURCE)
    heard = [*lowering.said, *said]
    await record(tx, [Entry("settlement", each.type.removesuffix(".v1"), each.subject, {}) for each in heard])


def _fall(lowering: Lowering, netting: NettingAccepted) -> _Refused | None:
    """Take the legs off what is open, all of them; or none, and return why."""
    for leg in netting.legs:
        why = why_not_set_off(
            _claim(lowering.locked.get(leg.receivable_id)),
            receivable_id=leg.receivable_id,
            debtor_id=leg.debtor_id,
            creditor_id=leg.creditor_id,
            by=leg.amount.money(),
        )
        if why is not None:
            return _Refused(leg.receivable_id, why)
    for leg in netting.legs:
        lowering.note(
            leg.receivable_id,
            by=leg.amount.money(),
            reference=f"netting/{netting.netting_id}",
            reason=f"set off in netting {netting.netting_id}",
            actor="events",
        )
    return None


def _answer(netting: NettingAccepted, why: _Refused | None) -> SetOffMade | SetOffRefused:
    if why is None:
        return SetOffMade(netting_id=netting.netting_id)
    return SetOffRefused(
        netting_id=netting.netting_id,
        receivable_id=why.receivable_id,
        code=why.refusal.code,
        reason=why.refusal.reason,
    )


def _claim(found: Locked | None) -> Claim | None:
    if found is None:
        return None
    row = found.row
    return Claim(
        receivable_id=row["receivable_id"],
        seller_id=row["seller_id"],
        obligor_id=row["obligor_id"],
        owed=Money(found.open_minor, row["currency"]),
        state=State(found.state),
        acknowledged=row["acknowledged"],
        vouchered=row["vouchered"],
        disputed=row["disputed"],
    )
