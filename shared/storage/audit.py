"""The audit log: append-only rows that commit unchained, and one leased sealer that chains them afterwards.

Chaining inside the business transaction would cost two thirds of the throughput.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shared.runtime.leases import keep_leases
from shared.storage.database import Database, Transaction

AUDIT_1: tuple[str, ...] = (
    """CREATE TABLE audit (
        position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        actor text NOT NULL, action text NOT NULL, subject text NOT NULL, facts text NOT NULL)""",
    "CREATE TABLE audit_unsealed (position bigint PRIMARY KEY)",
    """CREATE TABLE audit_seal (
        number bigint PRIMARY KEY, position bigint NOT NULL UNIQUE, digest text NOT NULL)""",
    """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
        END $$""",
    "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION refuse_change()",
)

PAGE = 1000

_RECORD = """
WITH kept AS (
    INSERT INTO audit (actor, action, subject, facts)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) RETURNING position)
INSERT INTO audit_unsealed SELECT position FROM kept
"""
_UNSEALED = """
SELECT a.position, a.at, a.actor, a.action, a.subject, a.facts
FROM audit_unsealed u JOIN audit a USING (position) ORDER BY a.position LIMIT $1
"""
_SEAL = """
WITH done AS (DELETE FROM audit_unsealed WHERE position = ANY($2))
INSERT INTO audit_seal (number, position, digest) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to what, with which facts."""

    actor: str
    action: str
    subject: str
    facts: Mapping[str, Any]


async def record(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Write entries in the business transaction."""
    if entries:
        await tx.pg.execute(
            _RECORD,
            [entry.actor for entry in entries],
            [entry.action for entry in entries],
            [entry.subject for entry in entries],
            [json.dumps(entry.facts, sort_keys=True, ensure_ascii=False, default=str) for entry in entries],
        )


@dataclass(frozen=True, slots=True)
class Seal:
    """The head of the chain: its number, the position of its row, the digest of everything up to there."""

    number: int
    position: int
    digest: str


# What makes a new head known outside the database, in the transaction that seals.
Publish = Callable[[Transaction, Seal], Awaitable[None]]


async def seal(database: Database, *, owner: str, publish: Publish | None = None) -> int:
    """Chain what has committed since, if this process holds the sealer's lease; return how many rows, at most a page.

    The new head is published: who could rewrite the whole chain here could not rewrite what was said of it elsewhere.
    """
    async with database.transaction() as tx:
        if not await keep_leases(tx, group="audit", owner=owner, names=["audit/sealer"], seconds=10):
            return 0
        rows = await tx.pg.fetch(_UNSEALED, PAGE)
        if not rows:
            return 0
        head = await tx.pg.fetchrow("SELECT number, digest FROM audit_seal ORDER BY number DESC LIMIT 1")
        number, digest = (head["number"], head["digest"]) if head else (0, "")
        digests = []
        for row in rows:
            digest = _link(digest, row)
            digests.append(digest)
        numbers = list(range(number + 1, number + 1 + len(rows)))
        await tx.pg.execute(_SEAL, numbers, [row["position"] for row in rows], digests)
        if publish is not None:
            await publish(tx, Seal(numbers[-1], rows[-1]["position"], digest))
        return len(rows)


async def broken_links(tx: Transaction) -> list[int]:
    """Return the seal numbers at which the chain does not hold (I11)."""
    broken, digest, expected = [], "", 1
    query = """SELECT s.number, s.digest, a.position, a.at, a.actor, a.action, a.subject, a.facts
        FROM audit_seal s LEFT JOIN audit a USING (position) ORDER BY s.number"""
    async for row in tx.pg.cursor(query):
        if row["number"] != expected or row["position"] is None or _link(digest, row) != row["digest"]:
            broken.append(row["number"])
        digest, expected = row["digest"], row["number"] + 1
    return broken


def _link(previous: str, row: Mapping[str, Any]) -> str:
    facts = [
        previous,
        row["position"],
        row["at"].isoformat(),
        row["actor"],
        row["action"],
        row["subject"],
        row["facts"],
    ]
    return sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()
