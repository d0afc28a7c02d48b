"""The baseline of batches: 100 holds a transaction, set-wise, with the same rows, through bare asyncpg, no HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from shared.values.ids import new_id
from tributary.bench.row_lock import PRINCIPAL_MINOR, Path

HOLDS = 100
_LOCK = """
SELECT node_id, sanctioned_minor, held_minor, utilised_minor FROM limit_node
WHERE node_id = ANY($1) ORDER BY level, node_id FOR NO KEY UPDATE
"""
_DOCUMENTS = "SELECT document_id, eligible_minor, due_date, state FROM document WHERE document_id = ANY($1)"
# The shard is one that no relay owns, so nothing else runs while this is measured.
_WRITE = """
WITH given AS MATERIALIZED (SELECT * FROM unnest($2::text[]) WITH ORDINALITY AS g(id, nth)),
moved AS (
    UPDATE limit_node SET held_minor = held_minor + $1 * cardinality($2::text[]) WHERE node_id = ANY($3)),
claimed AS (
    INSERT INTO idempotency (client, route, key, body_hash, status, body)
    SELECT $4, 'set-wise', id, $5, 201, $6 FROM given),
drawn AS (
    INSERT INTO drawdown (drawdown_id, line_id, programme_id, enterprise_id, obligor_id, state, form, currency,
        principal_minor, face_minor, exposure_minor, fee_minor, rate, penalty_rate, day_count, start_date, due_date,
        maturity_date, documents, path, purpose, policy_version, product, product_version, expires_at,
        command_client, command_key)
    SELECT id, $7, $8, $4, $4, 'held', 'loan', 'CNY', $1, $1, $1, 1, 45000, 67500, 'ACT/360', current_date,
        current_date, current_date, $6::jsonb, $9::jsonb, 'wages', 'bench', 'bench', '1', $10, $4, id FROM given),
taken AS (INSERT INTO document_use (document_id, drawdown_id) SELECT id, id FROM given),
headed AS (INSERT INTO outbox_head (topic, subject, sequence) SELECT 'bench', id, 1 FROM given),
told AS (
    INSERT INTO outbox (id, topic, subject, sequence, type, source, body)
    SELECT id, 'bench', id, 1, 'drawdown.held.v1', 'bench', $6 FROM given ORDER BY nth RETURNING position)
INSERT INTO outbox_pending (shard, position) SELECT 'bench-0', position FROM told
"""


async def holds_per_second(*, url: str, path: Path, clients: int, seconds: float) -> float:
    """Return holds a second of so many clients, 100 a transaction."""
    connections = [await asyncpg.connect(url) for _ in range(clients)]
    try:
        started = time.perf_counter()
        commits = await asyncio.gather(*(_client(each, path, started + seconds) for each in connections))
        return HOLDS * sum(commits) / (time.perf_counter() - started)
    finally:
        for connection in connections:
            await connection.close()


async def _client(connection: asyncpg.Connection[Any], path: Path, until: float) -> int:
    # Of the size that a held drawdown's event and answer have.
    body = json.dumps({"drawdown_id": path.line_id, "documents": [path.document_id], "note": "x" * 700})
    steps = json.dumps([[level, node_id, 1_000_000] for level, node_id in enumerate(path.node_ids)])
    commits = 0
    while time.perf_counter() < until:
        ids = [new_id() for _ in range(HOLDS)]
        async with connection.transaction():
            nodes = await connection.fetch(_LOCK, path.node_ids)
            await connection.fetch(_DOCUMENTS, ids)
            room = min(node["sanctioned_minor"] - node["held_minor"] - node["utilised_minor"] for node in nodes)
            if room < HOLDS * PRINCIPAL_MINOR:
                raise RuntimeError
            await connection.execute(
                _WRITE,
                PRINCIPAL_MINOR,
                ids,
                path.node_ids,
                path.enterprise_id,
                bytes(32),
                body,
                path.line_id,
                path.programme_id,
                steps,
                datetime.now(UTC) + timedelta(minutes=10),
            )
        commits += 1
    return commits
