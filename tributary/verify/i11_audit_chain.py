"""I11: the audit chain is whole and is the one whose heads were published; what is not sealed yet is young."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.events.audit import AuditSealed, audit_topic
from shared.messaging.kafka import Kafka
from shared.storage.audit import broken_links
from shared.storage.database import Transaction
from tributary.verify.append_only import refuses_change
from tributary.verify.result import Result
from tributary.verify.snapshots import World
from tributary.verify.topics import records_of

NAME = "audit chain whole"

_UNSEALED = "SELECT a.position, a.at FROM audit_unsealed u JOIN audit a USING (position) ORDER BY position"
_FORGOTTEN = """
SELECT a.position FROM audit a WHERE NOT EXISTS (SELECT FROM audit_seal s WHERE s.position = a.position)
    AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.position = a.position) ORDER BY a.position
"""
_PENDING = """
SELECT o.body::json->>'number' FROM outbox o JOIN outbox_pending USING (position) WHERE o.topic = $1
ORDER BY position DESC LIMIT 1
"""


async def check(world: World) -> Result:
    """Recompute every service's chain, and compare it with the heads on its topic."""
    result = Result()
    for service, tx in world.state.items():
        if await tx.pg.fetchval("SELECT to_regclass('audit')") is None:
            continue
        result.checked += await tx.pg.fetchval("SELECT count(*) FROM audit_seal")
        for number in await broken_links(tx):
            result.violate(f"{service}: the audit chain breaks at seal {number}")
        async for row in tx.pg.cursor(_FORGOTTEN):
            result.violate(f"{service}: audit row {row['position']} is neither sealed nor waiting to be")
        if not await refuses_change(tx, table="audit"):
            result.violate(f"{service}: nothing keeps the audit log append-only")
        async for row in tx.pg.cursor(_UNSEALED):
            result.fly(f"{service}: audit row {row['position']} was not sealed", age_s=world.age_s(row["at"]))
        await _published(world, service, tx, result)
    return result


async def _published(world: World, service: str, tx: Transaction, result: Result) -> None:
    """Find every published head in the chain, and the last seal among the heads that are published or about to be."""
    topic, last = audit_topic(service), 0
    async for batch in records_of(Kafka.of(world.settings), world.ends, topics=[topic]):
        heads = [each for each in (_head(record) for record in batch) if each is not None]
        if len(heads) < len(batch):
            result.violate(f"{topic}: {len(batch) - len(heads)} records name no head")
        result.checked += len(heads)
        last = max([last, *(head.number for head in heads)])
        await _compare(world, service, heads, result)
    pending = await world.outboxes[service].pg.fetchval(_PENDING, topic)
    sealed = await tx.pg.fetchval("SELECT coalesce(max(number), 0) FROM audit_seal")
    said = max(last, int(pending or 0))
    if sealed > said:
        result.violate(f"{service}: {sealed - said} seals after number {said} were never published")


async def _compare(world: World, service: str, heads: Sequence[AuditSealed], result: Result) -> None:
    # A head may have been sealed, and sent, after the snapshot: a fresh read has it.
    async with world.databases[service].reader() as tx:
        rows = await tx.pg.fetch(
            "SELECT number, position, digest FROM audit_seal WHERE number = ANY($1)", [head.number for head in heads]
        )
    chain = {row["number"]: (row["position"], row["digest"]) for row in rows}
    for head in heads:
        if chain.get(head.number) != (head.position, head.digest):
            result.violate(f"{service}: the audit chain at seal {head.number} is not the one that was published")


def _head(record: Any) -> AuditSealed | None:
    try:
        return AuditSealed.model_validate_json(record.value or b"")
    except ValueError:
        return None
