"""What two persons decide of a parked event: to replay it, or to discard it with a reason (R22).

Both are written down: in `inbox_decided`, and in the audit log. A replay is one more try, by the next worker that
drains. A discard moves the head past the event as if it had been applied, so that its successors come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from shared.events.envelope import MalformedRecord
from shared.messaging import inbox_rows
from shared.messaging.inbox_rows import Head
from shared.storage.approvals import Approval, Effects, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction

Decision = Literal["replay", "discard"]
_OVERDUE_AFTER = "10 minutes"
_BY_THEMSELVES = {
    "gap": "it comes by itself once its predecessors have",
    "fork": "its number was taken by another event; it can only be discarded",
}

_LIST = f"""
SELECT parked_id, topic, subject, sequence, event_id, type, reason, error, waits_topic, waits_subject, attempts,
    replay, parked_at, reason = 'waits' AND parked_at < clock_timestamp() - interval '{_OVERDUE_AFTER}' AS overdue
FROM inbox_parked WHERE parked_id > $1 ORDER BY parked_id LIMIT $2
"""  # noqa: S608 - a constant from above
_PROPOSED = """
SELECT approval_id, kind, subject, content, content_hash, party, proposer, state FROM approval
WHERE state = 'pending' AND subject = $1 AND kind = ANY($2) ORDER BY approval_id LIMIT 1
"""
_DECIDED = """
INSERT INTO inbox_decided (approval_id, parked_id, topic, subject, sequence, event_id, decision, reason,
    proposed_by, approved_by)
SELECT approval_id, $2, $3, $4, $5, $6, $7, $8, proposer, decided_by FROM approval WHERE approval_id = $1
RETURNING approved_by
"""
# A copy of the event may be parked under its own number already; then that one is tried.
_NAME = """
WITH copy AS (
    UPDATE inbox_parked SET replay = reason <> 'fork'
    WHERE (topic, subject, sequence, event_id) = ($2, $3, $4, $5) RETURNING parked_id),
gone AS (DELETE FROM inbox_parked WHERE parked_id = $1 AND EXISTS (SELECT FROM copy))
UPDATE inbox_parked SET subject = $3, sequence = $4, event_id = $5, type = $6, replay = true
WHERE parked_id = $1 AND NOT EXISTS (SELECT FROM copy)
"""


class UnknownParked(LookupError):
    """No event is parked under this number."""

    code: ClassVar[str] = "unknown_parked"

    def __init__(self, *, parked_id: int) -> None:
        """Keep the number asked for."""
        self.parked_id = parked_id
        super().__init__(f"No event is parked under the number {parked_id}.")


class NoLongerParked(RuntimeError):
    """What was proposed for is not parked any more: it was applied, or decided, meanwhile."""

    code: ClassVar[str] = "no_longer_parked"

    def __init__(self, *, parked_id: int) -> None:
        """Keep the number."""
        self.parked_id = parked_id
        super().__init__("The event does not wait any more as it did when this was proposed; decline the proposal.")


class NotReplayable(RuntimeError):
    """Another try would change nothing."""

    code: ClassVar[str] = "not_replayable"

    def __init__(self, *, parked_id: int, parked_for: str) -> None:
        """Keep the number and the reason."""
        self.parked_id = parked_id
        self.parked_for = parked_for
        super().__init__(f"Nothing to replay: {_BY_THEMSELVES[parked_for]}.")


class NotNext(RuntimeError):
    """The event's predecessors have not been applied: to discard it would lose them."""

    code: ClassVar[str] = "not_next"

    def __init__(self, *, sequence: int, following: int) -> None:
        """Keep where the aggregate stands."""
        self.sequence = sequence
        self.following = following
        super().__init__(f"Number {following} of this subject comes before {sequence}; decide on that one first.")


class AlreadyProposed(RuntimeError):
    """Something else is proposed for the same event."""

    code: ClassVar[str] = "already_proposed"

    def __init__(self, *, approval_id: str) -> None:
        """Keep the other proposal."""
        self.approval_id = approval_id
        super().__init__("Something else is proposed for this event; approve or decline that first.")


async def list_parked(tx: Transaction, *, after: int = 0, limit: int) -> list[dict[str, Any]]:
    """Return what is parked, oldest first, as HTTP shows it."""
    return [_wire(row) for row in await tx.pg.fetch(_LIST, after, limit)]


async def propose_decision(
    database: Database, *, parked_id: int, decision: Decision, reason: str, actor: str
) -> Approval:
    """Propose what becomes of a parked event; the same said again by the same person is the same proposal."""
    async with database.transaction() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM inbox_parked WHERE parked_id = $1 FOR UPDATE", parked_id)
        if row is None:
            raise UnknownParked(parked_id=parked_id)
        if decision == "replay":
            _check_replayable(row)
        kind, subject = f"parked.{decision}", f"parked/{parked_id}"
        event = {name: row[name] for name in ("parked_id", "topic", "subject", "sequence", "event_id", "type")}
        content = {**event, "parked_for": row["reason"], "reason": reason}
        known = await tx.pg.fetchrow(_PROPOSED, subject, list(DECISIONS))
        if known is not None:
            if (known["kind"], known["content"], known["proposer"]) != (kind, content, actor):
                raise AlreadyProposed(approval_id=known["approval_id"])
            return Approval(**known)
        proposal = await propose(tx, kind=kind, subject=subject, content=content, proposer=actor)
        await record(tx, [Entry(actor, f"{kind}.proposed", subject, content)])
    return proposal


async def _replay(tx: Transaction, approval: Approval) -> None:
    """Make the event due once more; its turn is still its turn."""
    row, _ = await _locked(tx, approval)
    _check_replayable(row)
    if row["sequence"]:
        await tx.pg.execute("UPDATE inbox_parked SET replay = true WHERE parked_id = $1", row["parked_id"])
    else:
        await _read_again(tx, row)
    await _write_down(tx, approval, row, "replayed")


async def _discard(tx: Transaction, approval: Approval) -> None:
    """Take the event away; when it was its turn, its head moves past it."""
    row, head = await _locked(tx, approval)
    if head is not None and row["sequence"] > head.sequence + 1:
        raise NotNext(sequence=row["sequence"], following=head.sequence + 1)
    if head is not None and row["sequence"] == head.sequence + 1:
        passed = Head(row["sequence"], row["event_id"], moved=True)
        await inbox_rows.save_heads(tx, heads={(row["topic"], row["subject"]): passed})
    await inbox_rows.forget(tx, parked_ids=[row["parked_id"]])
    await _write_down(tx, approval, row, "discarded")


# For a service's approvals: what approving each kind of proposal does.
DECISIONS: Effects = {"parked.replay": _replay, "parked.discard": _discard}


async def _locked(tx: Transaction, approval: Approval) -> tuple[Mapping[str, Any], Head | None]:
    """Lock the head, as whoever drains does, and then the row; a record without a number belongs to no head."""
    said = approval.content
    aggregate, head = (said["topic"], said["subject"]), None
    if said["sequence"]:
        head = (await inbox_rows.lock_heads(tx, aggregates=[aggregate]))[aggregate]
    row = await tx.pg.fetchrow("SELECT * FROM inbox_parked WHERE parked_id = $1 FOR UPDATE", said["parked_id"])
    if row is None or any(row[name] != said[name] for name in ("topic", "subject", "sequence", "event_id")):
        raise NoLongerParked(parked_id=said["parked_id"])
    return row, head


def _check_replayable(row: Mapping[str, Any]) -> None:
    if row["reason"] in _BY_THEMSELVES:
        raise NotReplayable(parked_id=row["parked_id"], parked_for=row["reason"])


async def _read_again(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Give a record that this release can read its number and its turn; one that it cannot has been tried again."""
    headers = inbox_rows.headers_of(row["headers"])
    try:
        arrival = inbox_rows.read_arrival(topic=row["topic"], headers=headers, body=row["body"])
    except MalformedRecord:
        await tx.pg.execute("UPDATE inbox_parked SET attempts = attempts + 1 WHERE parked_id = $1", row["parked_id"])
        return
    received = arrival.received
    await inbox_rows.lock_heads(tx, aggregates=[arrival.aggregate])
    named = (received.topic, received.subject, received.sequence, received.id, received.type)
    await tx.pg.execute(_NAME, row["parked_id"], *named)


async def _write_down(tx: Transaction, approval: Approval, row: Mapping[str, Any], decision: str) -> None:
    event = [row[name] for name in ("parked_id", "topic", "subject", "sequence", "event_id")]
    reason = approval.content["reason"]
    approver = await tx.pg.fetchval(_DECIDED, approval.approval_id, *event, decision, reason)
    facts = {**approval.content, "proposed_by": approval.proposer}
    await record(tx, [Entry(approver, f"event.{decision}", f"{row['topic']} {row['subject']}", facts)])


def _wire(row: Mapping[str, Any]) -> dict[str, Any]:
    waits = {"topic": row["waits_topic"], "subject": row["waits_subject"]} if row["waits_topic"] else None
    same = ("parked_id", "topic", "subject", "sequence", "event_id", "type", "reason", "error")
    return {
        **{name: row[name] for name in same},
        "waits_for": waits,
        "attempts": row["attempts"],
        "since": row["parked_at"].isoformat(),
        "replaying": row["replay"],
        "overdue": row["overdue"],
    }
