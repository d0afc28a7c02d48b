"""Take the parties' answers to a netting, and receivables' answer to what all of them accepted (R14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from services.settlement.domain.proposals import AlreadyApplied, State, UnknownNetting, accept, check_declinable
from services.settlement.operations.book import SOURCE, open_day
from services.settlement.operations.end_nettings import PARTY_BARRED, end_nettings
from shared.events.envelope import Event, Received
from shared.events.receivables import SetOffRefused
from shared.events.settlement import NettingAccepted, NettingLeg, NettingSettled
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.money import Amount

_LOCK = """
SELECT netting_id, currency, cleared_minor, state, accept_by < clock_timestamp() AS is_late FROM netting
WHERE netting_id = ANY($1) ORDER BY netting_id FOR UPDATE
"""
_PARTY = "SELECT accepted_at FROM netting_party WHERE netting_id = $1 AND enterprise_id = $2"
_OTHERS_WAIT = """
SELECT EXISTS (SELECT FROM netting_party WHERE netting_id = $1 AND enterprise_id <> $2 AND accepted_at IS NULL)
"""
_ACCEPT = """
UPDATE netting_party SET accepted_by = $3, accepted_at = clock_timestamp() WHERE netting_id = $1 AND enterprise_id = $2
"""
_BARRED = """
SELECT EXISTS (SELECT FROM netting_party p JOIN netting_barred b USING (enterprise_id) WHERE p.netting_id = $1)
"""
_LEGS = """
SELECT netting_id, receivable_id, debtor_id, creditor_id, amount_minor FROM netting_leg WHERE netting_id = ANY($1)
ORDER BY netting_id, receivable_id
"""
_POST = """
INSERT INTO netting_offset (netting_id, receivable_id, debtor_id, creditor_id, currency, amount_minor, posting_date)
SELECT l.netting_id, l.receivable_id, l.debtor_id, l.creditor_id, n.currency, l.amount_minor, $2
FROM netting_leg l JOIN netting n USING (netting_id) WHERE l.netting_id = ANY($1)
"""
_SETTLE = "UPDATE netting SET state = 'settled', posting_date = $2 WHERE netting_id = ANY($1)"


class NotAwaited(Exception):
    """Receivables answers a netting that was never accepted: a person must look."""

    code: ClassVar[str] = "not_awaited"

    def __init__(self, *, netting_id: str, state: str) -> None:
        """Keep the netting and where it stands."""
        super().__init__(f"The netting {netting_id} is {state}; nobody asked for its set-off.")


async def accept_netting(database: Database, *, netting_id: str, party: str, actor: str) -> None:
    """Accept for a party; the last acceptance sends it to receivables. Said again, it changes nothing.

    With a party that may not take part any more it ends. UnknownNetting, NettingClosed or NettingTooLate otherwise.
    """
    async with database.transaction() as tx:
        row, accepted_at = await _own(tx, netting_id=netting_id, party=party)
        others_wait: bool = await tx.pg.fetchval(_OTHERS_WAIT, netting_id, party)
        step = accept(
            netting_id=netting_id,
            state=row["state"],
            accepted_before=accepted_at is not None,
            others_wait=others_wait,
            is_late=row["is_late"],
        )
        if isinstance(step, AlreadyApplied):
            return
        if await tx.pg.fetchval(_BARRED, netting_id):
            await end_nettings(tx, [netting_id], **PARTY_BARRED)
            return
        await tx.pg.execute(_ACCEPT, netting_id, party, actor)
        await record(tx, [Entry(actor, "netting.accepted", netting_id, {"party": party})])
        if step.state is State.ACCEPTED:
            await tx.pg.execute("UPDATE netting SET state = 'accepted' WHERE netting_id = $1", netting_id)
            await append(tx, [await _accepted(tx, row)], source=SOURCE)


async def decline_netting(database: Database, *, netting_id: str, reason: str, party: str, actor: str) -> None:
    """Decline for a party, also after accepting, as long as another one has not: it ends for all.

    UnknownNetting or NettingClosed otherwise.
    """
    async with database.transaction() as tx:
        row, _ = await _own(tx, netting_id=netting_id, party=party)
        check_declinable(netting_id=netting_id, state=row["state"])
        # Who declined and why is the bank's to know, not the other parties' (R23).
        await record(tx, [Entry(actor, "netting.declined", netting_id, {"party": party, "reason": reason})])
        await end_nettings(tx, [netting_id], code="declined", reason="a party declined", actor=actor)


async def post_set_offs(tx: Transaction, events: Sequence[Received]) -> None:
    """Post the offsets of nettings whose legs fell, each netting's in one statement; NotAwaited for any other."""
    open_date = await open_day(tx)
    rows = await _awaited(tx, events)
    ids = [row["netting_id"] for row in rows]
    await tx.pg.execute(_POST, ids, open_date)
    await tx.pg.execute(_SETTLE, ids, open_date)
    said: list[Event] = [
        NettingSettled(netting_id=row["netting_id"], cleared=_cleared(row), posting_date=open_date) for row in rows
    ]
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry("receivables", "netting.settled", netting_id, {}) for netting_id in ids])


async def end_refused(tx: Transaction, events: Sequence[Received]) -> None:
    """End nettings of which receivables could set off nothing; NotAwaited for any other."""
    awaited = {row["netting_id"] for row in await _awaited(tx, events)}
    for event in events:
        said = event.event
        if isinstance(said, SetOffRefused) and said.netting_id in awaited:
            await end_nettings(
                tx,
                [said.netting_id],
                # Which debt, and that it is assigned or financed, is not the other parties' to know (R23).
                code="obligation_changed",
                reason="a debt in it has changed",
                actor="receivables",
                while_in=State.ACCEPTED,
            )


async def _awaited(tx: Transaction, events: Sequence[Received]) -> list[Any]:
    """Lock the nettings and return those that wait for receivables; what was answered before is passed by."""
    rows = {row["netting_id"]: row for row in await tx.pg.fetch(_LOCK, [event.subject for event in events])}
    for event in events:
        state = rows[event.subject]["state"] if event.subject in rows else "unknown"
        if state in {"unknown", State.PROPOSED}:
            raise NotAwaited(netting_id=event.subject, state=state)
    return [row for row in rows.values() if row["state"] == State.ACCEPTED]


async def _own(tx: Transaction, *, netting_id: str, party: str) -> tuple[Any, Any]:
    """Lock a netting of the party; to anybody else there is none (R23)."""
    rows = await tx.pg.fetch(_LOCK, [netting_id])
    mine = await tx.pg.fetchrow(_PARTY, netting_id, party)
    if not rows or mine is None:
        raise UnknownNetting(netting_id=netting_id)
    return rows[0], mine["accepted_at"]


async def _accepted(tx: Transaction, row: Any) -> NettingAccepted:
    legs = await tx.pg.fetch(_LEGS, [row["netting_id"]])
    return NettingAccepted(
        netting_id=row["netting_id"],
        cleared=_cleared(row),
        legs=[
            NettingLeg(
                receivable_id=leg["receivable_id"],
                debtor_id=leg["debtor_id"],
                creditor_id=leg["creditor_id"],
                amount=Amount.of(amount_minor=leg["amount_minor"], currency=row["currency"]),
            )
            for leg in legs
        ],
    )


def _cleared(row: Any) -> Amount:
    return Amount.of(amount_minor=row["cleared_minor"], currency=row["currency"])
