"""Set off the legs of a netting that every party accepted: all of them fell, or none (R14).

Here and nowhere else it is decided, because here are the locks: whoever assigns, vouchers, disputes or dilutes a
receivable locks the same row, so that one of the two comes first and the other sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.receivables.domain.assigning import Refusal
from services.receivables.domain.receivables import State
from services.receivables.domain.setting_off import Claim, why_not_set_off
from services.receivables.operations.locking import Row, lock_receivables
from services.receivables.operations.take_documents import SOURCE
from shared.events.envelope import Event, Received
from shared.events.receivables import ReceivableDiluted, ReceivableSettled, SetOffMade, SetOffRefused
from shared.events.settlement import NettingAccepted, NettingLeg
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction, by_column
from shared.values.money import Amount, Money

_KEEP = """
INSERT INTO set_off (netting_id, refused, receivable_id, code)
SELECT * FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[])
"""
_FALL = """
UPDATE receivable r SET financeable_minor = d.owed, state = CASE WHEN d.owed = 0 THEN 'settled' ELSE r.state END
FROM unnest($1::text[], $2::bigint[]) AS d(receivable_id, owed) WHERE r.receivable_id = d.receivable_id
"""
_NOTE = """
INSERT INTO dilution (receivable_id, reference, amount_minor, reason, actor)
SELECT receivable_id, reference, amount, 'set_off', 'events'
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS d(receivable_id, reference, amount)
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
    locked = await lock_receivables(tx, [leg.receivable_id for each in fresh for leg in each.legs])
    claims = {key: _claim(row) for key, row in locked.items()}
    left = {key: claim.owed.amount_minor for key, claim in claims.items()}
    refused = {each.netting_id: _why_not(each.legs, claims, left) for each in fresh}
    falls = [(each, leg) for each in fresh if refused[each.netting_id] is None for leg in each.legs]
    fallen = {leg.receivable_id: left[leg.receivable_id] for _, leg in falls}
    await tx.pg.execute(_FALL, *by_column(fallen.items(), width=2))
    notes = [(leg.receivable_id, f"netting/{each.netting_id}", leg.amount.minor) for each, leg in falls]
    await tx.pg.execute(_NOTE, *by_column(notes, width=3))
    answers = [(each, refused[each.netting_id]) for each in fresh]
    kept = [
        (each.netting_id, why is not None, why and why.receivable_id, why and why.refusal.code) for each, why in answers
    ]
    await tx.pg.execute(_KEEP, *by_column(kept, width=4))
    said = [*_fallen(falls, claims), *(_answer(each, why) for each, why in answers)]
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry("settlement", each.type.removesuffix(".v1"), each.subject, {}) for each in said])


def _why_not(legs: Sequence[NettingLeg], claims: Mapping[str, Claim], left: dict[str, int]) -> _Refused | None:
    """Take the legs off what is left, all of them; or none, and return why."""
    after: dict[str, int] = {}
    for leg in legs:
        found = claims.get(leg.receivable_id)
        if found is not None:
            found = Claim(
                found.receivable_id,
                found.seller_id,
                found.obligor_id,
                Money(after.get(leg.receivable_id, left[leg.receivable_id]), found.owed.currency),
                found.state,
                found.acknowledged,
                found.vouchered,
                found.disputed,
            )
        why = why_not_set_off(
            found,
            receivable_id=leg.receivable_id,
            debtor_id=leg.debtor_id,
            creditor_id=leg.creditor_id,
            by=leg.amount.money(),
        )
        if why is not None or found is None:
            return _Refused(leg.receivable_id, why or Refusal("unknown_receivable", leg.receivable_id))
        after[leg.receivable_id] = found.owed.amount_minor - leg.amount.minor
    left.update(after)
    return None


def _fallen(falls: Sequence[tuple[NettingAccepted, NettingLeg]], claims: Mapping[str, Claim]) -> list[Event]:
    """Return what is said of each receivable: less is payable, of some nothing (R7)."""
    owed = {key: claim.owed.amount_minor for key, claim in claims.items()}
    said: list[Event] = []
    for netting, leg in falls:
        owed[leg.receivable_id] -= leg.amount.minor
        rest = Amount.of(amount_minor=owed[leg.receivable_id], currency=leg.amount.currency)
        reason = f"set off in netting {netting.netting_id}"
        said.append(ReceivableDiluted(receivable_id=leg.receivable_id, by=leg.amount, financeable=rest, reason=reason))
        if not rest.minor:
            said.append(ReceivableSettled(receivable_id=leg.receivable_id))
    return said


def _answer(netting: NettingAccepted, why: _Refused | None) -> Event:
    if why is None:
        return SetOffMade(netting_id=netting.netting_id)
    return SetOffRefused(
        netting_id=netting.netting_id,
        receivable_id=why.receivable_id,
        code=why.refusal.code,
        reason=why.refusal.reason,
    )


def _claim(row: Row) -> Claim:
    return Claim(
        receivable_id=row["receivable_id"],
        seller_id=row["seller_id"],
        obligor_id=row["obligor_id"],
        owed=Money(row["financeable_minor"], row["currency"]),
        state=State(row["state"]),
        acknowledged=row["acknowledged"],
        vouchered=row["vouchered"],
        disputed=row["disputed"],
    )
