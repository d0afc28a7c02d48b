"""The baseline of holds: a row-lock transaction a hold that writes the same rows, through bare asyncpg, no HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from shared.values.ids import new_id

_LOCK = """
SELECT node_id, sanctioned_minor, held_minor, utilised_minor FROM limit_node
WHERE node_id = ANY($1) ORDER BY level, node_id FOR NO KEY UPDATE
"""
_DOCUMENT = "SELECT eligible_minor, due_date, state FROM document WHERE document_id = $1"
# One statement for all rows: the fewest round trips that such a transaction can have. The shard is one that no relay
# owns, so nothing else runs while this is measured.
_WRITE = """
WITH moved AS (
    UPDATE limit_node SET held_minor = held_minor + $1 WHERE node_id = ANY($2)),
claimed AS (
    INSERT INTO idempotency (client, route, key, body_hash, status, body) VALUES ($3, 'row lock', $4, $5, 201, $6)),
drawn AS (
    INSERT INTO drawdown (drawdown_id, line_id, programme_id, enterprise_id, obligor_id, state, form, currency,
        principal_minor, face_minor, exposure_minor, fee_minor, rate, penalty_rate, day_count, start_date, due_date,
        maturity_date, documents, path, purpose, policy_version, product, product_version, expires_at,
        command_client, command_key)
    VALUES ($4, $7, $8, $3, $3, 'held', 'loan', 'CNY', $1, $1, $1, 1, 45000, 67500, 'ACT/360', current_date,
        current_date, current_date, $6::jsonb, $9::jsonb, 'wages', 'bench', 'bench', '1', $10, $3, $4)),
taken AS (INSERT INTO document_use (document_id, drawdown_id) VALUES ($4, $4)),
headed AS (INSERT INTO outbox_head (topic, subject, sequence) VALUES ('bench', $4, 1)),
told AS (
    INSERT INTO outbox (id, topic, subject, sequence, type, source, body)
    VALUES ($4, 'bench', $4, 1, 'drawdown.held.v1', 'bench', $6) RETURNING position)
INSERT INTO outbox_pending (shard, position) SELECT 'bench-0', position FROM told
"""
PRINCIPAL_MINOR = 1_000


@dataclass(frozen=True, slots=True)
class Path:
    """What each hold locks and names: the same nodes, line and programme as the measured holds."""

    node_ids: list[str]
    line_id: str
    programme_id: str
    enterprise_id: str
    document_id: str


async def holds_per_second(*, url: str, path: Path, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Return holds a second of so many clients, and each one's seconds from BEGIN to COMMIT."""
    connections = [await asyncpg.connect(url) for _ in range(clients)]
    latencies: list[float] = []
    try:
        started = time.perf_counter()
        await asyncio.gather(*(_client(each, path, started + seconds, latencies) for each in connections))
        return len(latencies) / (time.perf_counter() - started), latencies
    finally:
        for connection in connections:
            await connection.close()


async def _client(connection: asyncpg.Connection[Any], path: Path, until: float, latencies: list[float]) -> None:
    # Of the size that a held drawdown's event and answer have.
    body = json.dumps({"drawdown_id": path.line_id, "documents": [path.document_id], "note": "x" * 700})
    steps = json.dumps([[level, node_id, 1_000_000] for level, node_id in enumerate(path.node_ids)])
    while (begun := time.perf_counter()) < until:
        async with connection.transaction():
            nodes = await connection.fetch(_LOCK, path.node_ids)
            document = await connection.fetchrow(_DOCUMENT, path.document_id)
            room = min(node["sanctioned_minor"] - node["held_minor"] - node["utilised_minor"] for node in nodes)
            if document is None or room < PRINCIPAL_MINOR:
                raise RuntimeError
            await connection.execute(
                _WRITE,
                PRINCIPAL_MINOR,
                path.node_ids,
                path.enterprise_id,
                new_id(),
                bytes(32),
                body,
                path.line_id,
                path.programme_id,
                steps,
                datetime.now(UTC) + timedelta(minutes=10),
            )
        latencies.append(time.perf_counter() - begun)
