"""Four eyes: one person proposes, another decides, and what is decided is what was proposed (R22)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id

APPROVALS_1: tuple[str, ...] = (
    """CREATE TABLE approval (
        approval_id text PRIMARY KEY, kind text NOT NULL, subject text NOT NULL, content jsonb NOT NULL,
        content_hash text NOT NULL, party text, proposer text NOT NULL,
        proposed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'declined')),
        decided_by text, decided_at timestamptz, reason text,
        CHECK (decided_by IS DISTINCT FROM proposer))""",
    "CREATE INDEX approval_pending ON approval (approval_id) WHERE state = 'pending'",
)


class UnknownApproval(LookupError):
    """No proposal has this id."""

    code: ClassVar[str] = "unknown_approval"

    def __init__(self, *, approval_id: str) -> None:
        """Keep the id asked for."""
        self.approval_id = approval_id[:40]
        super().__init__(f"There is no proposal {self.approval_id!r}.")


class OwnProposal(PermissionError):
    """Who proposes cannot decide (R22)."""

    code: ClassVar[str] = "own_proposal"

    def __init__(self, *, approval_id: str) -> None:
        """Keep the id."""
        self.approval_id = approval_id
        super().__init__("Who proposes a change cannot approve or decline it.")


class AlreadyDecided(RuntimeError):
    """The proposal was approved or declined before."""

    code: ClassVar[str] = "already_decided"

    def __init__(self, *, approval_id: str, state: str) -> None:
        """Keep the id and what was decided."""
        self.approval_id = approval_id
        self.state = state
        super().__init__(f"The proposal was {state} already.")


@dataclass(frozen=True, slots=True)
class Approval:
    """A proposal and its state; `content` is exactly what was proposed, named by `content_hash`."""

    approval_id: str
    kind: str
    subject: str
    content: dict[str, Any]
    content_hash: str
    party: str | None
    proposer: str
    state: str

    def wire(self) -> dict[str, Any]:
        """Return the shape used in HTTP bodies."""
        return {
            "approval_id": self.approval_id,
            "kind": self.kind,
            "subject": self.subject,
            "content": self.content,
            "content_hash": self.content_hash,
            "party": self.party,
            "proposer": self.proposer,
            "state": self.state,
        }


async def propose(
    tx: Transaction, *, kind: str, subject: str, content: Mapping[str, Any], proposer: str, party: str | None = None
) -> Approval:
    """Store a proposal for a second person; `party` restricts who may decide to one enterprise's people."""
    body = json.dumps(content, sort_keys=True, ensure_ascii=False)
    digest = sha256(f"{kind}\n{subject}\n{body}".encode()).hexdigest()
    approval_id = new_id()
    await tx.pg.execute(
        """INSERT INTO approval (approval_id, kind, subject, content, content_hash, party, proposer)
        VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        approval_id,
        kind,
        subject,
        body,
        digest,
        party,
        proposer,
    )
    return Approval(approval_id, kind, subject, json.loads(body), digest, party, proposer, "pending")


# What approving or declining a proposal of a kind does, in the transaction that decides.
Effects = Mapping[str, Callable[[Transaction, Approval], Awaitable[None]]]


async def approve_proposal(
    database: Database, *, approval_id: str, actor: str, party: str | None, effects: Effects
) -> Approval:
    """Approve a pending proposal and do what it says; UnknownApproval, OwnProposal or AlreadyDecided otherwise."""
    async with database.transaction() as tx:
        approved = await _decide(tx, approval_id=approval_id, person=actor, party=party, state="approved", reason=None)
        await effects[approved.kind](tx, approved)
        facts = {"kind": approved.kind, "hash": approved.content_hash, "proposer": approved.proposer}
        await record(tx, [Entry(actor, "proposal.approved", approved.subject, facts)])
    return approved


async def decline_proposal(
    database: Database, *, approval_id: str, actor: str, party: str | None, reason: str, effects: Effects
) -> Approval:
    """Decline a pending proposal with a reason; the same errors as `approve_proposal`."""
    async with database.transaction() as tx:
        declined = await _decide(
            tx, approval_id=approval_id, person=actor, party=party, state="declined", reason=reason
        )
        if declined.kind in effects:
            await effects[declined.kind](tx, declined)
        facts = {"kind": declined.kind, "hash": declined.content_hash, "reason": reason}
        await record(tx, [Entry(actor, "proposal.declined", declined.subject, facts)])
    return declined


async def pending(tx: Transaction, *, after: str = "", limit: int = 100, party: str | None = None) -> list[Approval]:
    """Return the proposals that wait, oldest first: all, or one party's."""
    rows = await tx.pg.fetch(
        """SELECT * FROM approval WHERE state = 'pending' AND approval_id > $1
            AND ($3::text IS NULL OR party = $3) ORDER BY approval_id LIMIT $2""",
        after,
        limit,
        party,
    )
    return [_read(row) for row in rows]


async def _decide(
    tx: Transaction, *, approval_id: str, person: str, party: str | None, state: str, reason: str | None
) -> Approval:
    row = await tx.pg.fetchrow("SELECT * FROM approval WHERE approval_id = $1 FOR UPDATE", approval_id)
    # An enterprise's people decide on its proposals, the bank's on the bank's.
    if row is None or row["party"] != party:
        raise UnknownApproval(approval_id=approval_id)
    if row["proposer"] == person:
        raise OwnProposal(approval_id=approval_id)
    if row["state"] != "pending":
        raise AlreadyDecided(approval_id=approval_id, state=row["state"])
    await tx.pg.execute(
        """UPDATE approval SET state = $2, decided_by = $3, decided_at = clock_timestamp(), reason = $4
        WHERE approval_id = $1""",
        approval_id,
        state,
        person,
        reason,
    )
    return _read({**row, "state": state})


def _read(row: Mapping[str, Any]) -> Approval:
    return Approval(
        approval_id=row["approval_id"],
        kind=row["kind"],
        subject=row["subject"],
        content=row["content"],
        content_hash=row["content_hash"],
        party=row["party"],
        proposer=row["proposer"],
        state=row["state"],
    )
