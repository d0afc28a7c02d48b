"""Idempotency keys: claimed in the business transaction, kept with what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from shared.storage.database import Transaction

IDEMPOTENCY_1: tuple[str, ...] = (
    """CREATE TABLE idempotency (
        client text NOT NULL, route text NOT NULL, key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
        body_hash bytea NOT NULL, status int, body text, claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (client, route, key))""",
)

_CLAIM = """
INSERT INTO idempotency (client, route, key, body_hash)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS k(client, route, key, body_hash)
ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING RETURNING client, route, key
"""
_READ = """
SELECT i.client, i.route, i.key, i.body_hash, i.status, i.body FROM idempotency i
JOIN unnest($1::text[], $2::text[], $3::text[]) AS k(client, route, key) USING (client, route, key)
"""
_COMPLETE = """
UPDATE idempotency i SET status = d.status, body = d.body
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[]) AS d(client, route, key, status, body)
WHERE (i.client, i.route, i.key) = (d.client, d.route, d.key)
"""
_GIVE_BACK = """
DELETE FROM idempotency i USING unnest($1::text[], $2::text[], $3::text[]) AS d(client, route, key)
WHERE (i.client, i.route, i.key) = (d.client, d.route, d.key)
"""


class IdempotencyConflict(Exception):
    """The same idempotency key came with another body (R19)."""

    code: ClassVar[str] = "idempotency_conflict"

    def __init__(self, *, key: str) -> None:
        """Keep the key."""
        self.key = key
        super().__init__(f"The idempotency key {key!r} was used with another body.")


class MissingIdempotencyKey(Exception):
    """A command that moves money or limits came without an Idempotency-Key header."""

    code: ClassVar[str] = "missing_idempotency_key"

    def __init__(self) -> None:
        """Say what is missing."""
        super().__init__("Send an Idempotency-Key header of 1 to 200 characters.")


@dataclass(frozen=True, slots=True)
class Key:
    """Who sent which command where, and the hash of what it said."""

    client: str
    route: str
    key: str
    body_hash: bytes

    @classmethod
    def of(cls, *, client: str, route: str, key: str | None, body: bytes) -> Key:
        """Return the key of a request; MissingIdempotencyKey when the header is absent or too long."""
        longest = 200
        if not key or len(key) > longest:
            raise MissingIdempotencyKey
        return cls(client, route, key, sha256(body).digest())

    @property
    def name(self) -> tuple[str, str, str]:
        """Return what makes the key unique."""
        return self.client, self.route, self.key


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a command, kept so that a repeat gets the same."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Claims:
    """Which keys are this transaction's, and what others were answered or refused with."""

    mine: frozenset[tuple[str, str, str]]
    known: dict[tuple[str, str, str], Answer | IdempotencyConflict]


async def claim(tx: Transaction, *, keys: Sequence[Key]) -> Claims:
    """Claim every key not seen before; look up the answers of the others (twins within `keys` must be folded)."""
    columns = [key.client for key in keys], [key.route for key in keys], [key.key for key in keys]
    rows = await tx.pg.fetch(_CLAIM, *columns, [key.body_hash for key in keys])
    mine = frozenset((row["client"], row["route"], row["key"]) for row in rows)
    if len(mine) == len(keys):
        return Claims(mine, {})
    hashes = {key.name: key.body_hash for key in keys}
    known: dict[tuple[str, str, str], Answer | IdempotencyConflict] = {}
    for row in await tx.pg.fetch(_READ, *columns):
        name = (row["client"], row["route"], row["key"])
        if name not in mine:
            same = row["body_hash"] == hashes[name]
            known[name] = Answer(row["status"], row["body"]) if same else IdempotencyConflict(key=row["key"])
    return Claims(mine, known)


async def complete(tx: Transaction, *, answers: Sequence[tuple[Key, Answer]]) -> None:
    """Keep what was answered, in the same transaction."""
    await tx.pg.execute(
        _COMPLETE,
        [key.client for key, _ in answers],
        [key.route for key, _ in answers],
        [key.key for key, _ in answers],
        [answer.status for _, answer in answers],
        [answer.body for _, answer in answers],
    )


async def give_back(tx: Transaction, *, keys: Sequence[Key]) -> None:
    """Give keys back: a refusal claims none, so the client may try the same command again."""
    if keys:
        columns = [key.client for key in keys], [key.route for key in keys], [key.key for key in keys]
        await tx.pg.execute(_GIVE_BACK, *columns)
