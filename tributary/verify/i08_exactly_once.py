"""I8: each accepted command, and each event that asks for an effect, took effect exactly once (R19)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.credit.operations.hold_rows import ROUTE as DRAW
from shared.events.credit import DrawdownApproved, DrawdownEvent, DrawdownHeld
from tributary.verify.result import Result
from tributary.verify.set_offs import check_set_offs
from tributary.verify.snapshots import World

NAME = "each command took effect once"

_BATCH = 1_000
_UNANSWERED = "SELECT client, route, key FROM idempotency WHERE status IS NULL"
# What is parked has not taken effect; console's parked events are I7's.
_PARKED = "SELECT type, subject, sequence, reason, parked_at FROM inbox_parked ORDER BY parked_id"
_DRAWN = """
SELECT coalesce(i.key, d.command_key) AS key, count(d.drawdown_id) AS drawdowns, count(i.key) AS answers
FROM (SELECT client, key FROM idempotency WHERE route = $1 AND status = 201) i
FULL JOIN drawdown d ON d.command_client = i.client AND d.command_key = i.key
GROUP BY coalesce(i.client, d.command_client), coalesce(i.key, d.command_key)
HAVING count(d.drawdown_id) <> 1 OR count(i.key) <> 1
"""
_HELD = """
WITH said AS (SELECT subject FROM outbox_kept WHERE topic = $1 AND type = $2)
SELECT coalesce(d.drawdown_id, e.subject) AS drawdown_id, count(d.drawdown_id) AS drawdowns, count(e.subject) AS events
FROM drawdown d FULL JOIN said e ON e.subject = d.drawdown_id
GROUP BY 1 HAVING count(d.drawdown_id) <> 1 OR count(e.subject) <> 1
"""
_ASKED = "SELECT subject, sequence, time FROM outbox_kept WHERE topic = $1 AND type = $2"
_DONE = {
    "settlement": """
        SELECT s.subject, coalesce(h.sequence, 0) AS heard,
            (SELECT count(*) FROM loan l WHERE l.loan_id = s.subject) AS effects
        FROM unnest($1::text[]) AS s(subject) LEFT JOIN inbox_head h ON h.topic = $2 AND h.subject = s.subject""",
    "receivables": """
        SELECT s.subject, coalesce(h.sequence, 0) AS heard,
            (SELECT count(*) FROM assignment a WHERE a.drawdown_id = s.subject) AS effects
        FROM unnest($1::text[]) AS s(subject) LEFT JOIN inbox_head h ON h.topic = $2 AND h.subject = s.subject""",
}
_DISCARDED = "SELECT subject, sequence FROM inbox_decided WHERE topic = $1 AND decision = 'discarded'"
_UNASKED = {
    "settlement": "SELECT loan_id AS subject FROM loan",
    "receivables": "SELECT drawdown_id AS subject FROM assignment",
}
# One payment a loan: in the books, and in what was said of it.
_PAID_OUT = """
SELECT l.loan_id, l.state IN ('disbursed', 'closed') AS paid,
    (SELECT count(*) FROM ledger_transaction t WHERE t.loan_id = l.loan_id AND t.kind = 'disbursement') AS booked,
    (SELECT count(*) FROM outbox_kept o WHERE o.topic = 'scf.settlement.loan.v1' AND o.subject = l.loan_id
        AND o.type = 'loan.disbursed.v1') AS said
FROM loan l
"""
_COLLECTED = """
SELECT s.account, s.entry_id,
    (SELECT count(*) FROM outbox_kept o WHERE o.topic = 'scf.settlement.collection.v1' AND o.subject = s.collection_id
        AND o.type = 'collection.received.v1') AS said,
    coalesce(b.many, 0) AS booked
FROM statement_entry s LEFT JOIN (
    SELECT reference, count(*) AS many FROM ledger_transaction WHERE kind IN ('collection', 'suspense')
    GROUP BY reference) b ON b.reference = s.collection_id
WHERE s.collection_id IS NOT NULL
"""
_UNFOUNDED = """
SELECT t.transaction_id, t.reference FROM ledger_transaction t WHERE t.kind IN ('collection', 'suspense')
    AND NOT EXISTS (SELECT FROM statement_entry s WHERE s.collection_id = t.reference)
"""


async def check(world: World) -> Result:
    """Follow commands to their effects inside a service, then events to their effects in the next one."""
    result = Result()
    for service, tx in world.state.items():
        if await tx.pg.fetchval("SELECT to_regclass('idempotency')") is None:
            continue
        result.checked += await tx.pg.fetchval("SELECT count(*) FROM idempotency")
        async for row in tx.pg.cursor(_UNANSWERED):
            result.violate(f"{service}: {row['route']} with the key {row['key']} was accepted and never answered")
    await _parked(world, result)
    await _credit(world, result)
    await _settlement(world, result)
    await check_set_offs(world, result)
    await _asked_and_done(world, result, kind=DrawdownHeld, consumer="receivables")
    await _asked_and_done(world, result, kind=DrawdownApproved, consumer="settlement")
    return result


async def _parked(world: World, result: Result) -> None:
    for service, tx in world.state.items():
        if service != "console":
            async for row in tx.pg.cursor(_PARKED):
                what = f"{service}: {row['type']} number {row['sequence']} of {row['subject']} is parked"
                result.fly(f"{what} ({row['reason']})", age_s=world.age_s(row["parked_at"]))


async def _credit(world: World, result: Result) -> None:
    tx = world.state["credit"]
    async for row in tx.pg.cursor(_DRAWN, DRAW):
        result.violate(f"the command {row['key']} has {row['answers']} answers and {row['drawdowns']} drawdowns")
    async for row in tx.pg.cursor(_HELD, DrawdownEvent.topic, DrawdownHeld.type):
        result.violate(f"drawdown {row['drawdown_id']}: {row['drawdowns']} rows and {row['events']} events say held")


async def _settlement(world: World, result: Result) -> None:
    tx = world.state["settlement"]
    async for row in tx.pg.cursor(_PAID_OUT):
        result.checked += 1
        expected = int(row["paid"])
        if (row["booked"], row["said"]) != (expected, expected):
            result.violate(
                f"loan {row['loan_id']}: {expected} payments, {row['booked']} in the ledger, {row['said']} events"
            )
    async for row in tx.pg.cursor(_COLLECTED):
        result.checked += 1
        if (row["booked"], row["said"]) != (1, 1):
            entry = f"entry {row['entry_id']} of account {row['account']}"
            result.violate(f"{entry} was booked {row['booked']} times and said {row['said']} times")
    async for row in tx.pg.cursor(_UNFOUNDED):
        result.violate(f"transaction {row['transaction_id']} books a receipt that no statement shows")


async def _asked_and_done(world: World, result: Result, *, kind: type[DrawdownEvent], consumer: str) -> None:
    """Check that what credit asked for was done once as far as the consumer has heard, and nothing else."""
    asked: list[Mapping[str, Any]] = []
    async for row in world.outboxes["credit"].pg.cursor(_ASKED, kind.topic, kind.type, prefetch=_BATCH):
        asked.append(row)
        if len(asked) == _BATCH:
            await _done(world, result, asked, kind=kind, consumer=consumer)
            asked = []
    await _done(world, result, asked, kind=kind, consumer=consumer)
    subjects: list[str] = []
    async for row in world.state[consumer].pg.cursor(_UNASKED[consumer], prefetch=_BATCH):
        subjects.append(row["subject"])
        if len(subjects) == _BATCH:
            await _unasked(world, result, subjects, kind=kind, consumer=consumer)
            subjects = []
    await _unasked(world, result, subjects, kind=kind, consumer=consumer)


async def _done(
    world: World, result: Result, asked: Sequence[Mapping[str, Any]], *, kind: type[DrawdownEvent], consumer: str
) -> None:
    rows = await world.state[consumer].pg.fetch(_DONE[consumer], [row["subject"] for row in asked], kind.topic)
    done = {row["subject"]: row for row in rows}
    discarded = {tuple(row) for row in await world.state[consumer].pg.fetch(_DISCARDED, kind.topic)}
    for event in asked:
        row = done[event["subject"]]
        result.checked += 1
        if event["sequence"] > row["heard"]:
            what = f"{consumer} has not heard {kind.type} of {event['subject']}"
            result.fly(what, age_s=world.age_s(event["time"]))
            continue
        # What two persons have discarded has no effect, and must have none.
        expected = 0 if (event["subject"], event["sequence"]) in discarded else 1
        if row["effects"] != expected:
            result.violate(f"{consumer} did {row['effects']} times what {kind.type} of {event['subject']} asks for")


async def _unasked(
    world: World, result: Result, subjects: Sequence[str], *, kind: type[DrawdownEvent], consumer: str
) -> None:
    rows = await world.outboxes["credit"].pg.fetch(
        "SELECT subject FROM outbox_kept WHERE topic = $1 AND type = $2 AND subject = ANY($3)",
        *(kind.topic, kind.type, list(subjects)),
    )
    said = Counter(row["subject"] for row in rows)
    for subject in subjects:
        if said[subject] != 1:
            result.violate(f"{consumer} acted on {subject}, for which {kind.type} was said {said[subject]} times")
