"""Vouchers split a second over HTTP, in batches, beside bare SQL of the same slices under the same constraint.

A split is offered by the slice's holder, then accepted: two commands, each with its key, audit and answer. The bare SQL
marks the slice as replaced and inserts the two that it becomes, a batch a transaction, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from services.receivables.main import NAME
from shared.runtime.settings import Settings
from shared.storage.database import Database, ensure_database, migrate
from shared.values.ids import new_id
from tributary.bench.rows import client_of
from tributary.bench.server import serving
from tributary.embedded.servers import EmbeddedServers

_ROUNDS, _BATCHES, _BATCH = 5, 2, 500
_FACE_MINOR, _PART_MINOR = 100_000, 30_000
_VOUCHERS = _BATCHES * _BATCH
_SEED = (
    "INSERT INTO enterprise (enterprise_id, name, name_key) SELECT id, id, id FROM unnest($1::text[]) AS d(id)",
    """INSERT INTO programme (programme_id, anchor_id, currency, issuance_limit_minor, collection_account,
        matching_policy) VALUES ('bench', $1, 'CNY', 1000000000000, '', 'matching')""",
)
_RECEIVABLES = """
INSERT INTO receivable (receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax,
    profile, file, issue_date, due_date, currency, payable_minor, financeable_minor, order_reference, state, reasons,
    policy_version, vouchered)
SELECT id, $2, $3, id, id, 2026, '380', 'csv', '', '', '2026-09-01', '2026-12-01', 'CNY', $4, $4, '', 'confirmed',
    '{}', 'bench', true FROM unnest($1::text[]) AS d(id)
"""
_ISSUED = """
INSERT INTO voucher (root_id, programme_id, obligor_id, receivable_id, currency, face_minor, maturity_date)
SELECT id, 'bench', $2, id, 'CNY', $3, '2026-12-01' FROM unnest($1::text[]) AS d(id)
"""
_WHOLE = """
INSERT INTO {table} (slice_id, root_id, start_minor, end_minor, holder_id, state)
SELECT id, id, 0, $3::bigint, $2, 'live' FROM unnest($1::text[]) AS d(id)
"""
_REPLACE = "UPDATE bare_slice SET state = 'replaced' WHERE slice_id = ANY($1)"
_SPLIT = """
INSERT INTO bare_slice (slice_id, root_id, start_minor, end_minor, holder_id, state)
SELECT slice_id, root_id, start_minor, end_minor, $5, 'live'
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS d(slice_id, root_id, start_minor, end_minor)
"""
_SUM = """
SELECT count(*) FROM voucher v WHERE face_minor <> (
    SELECT sum(end_minor - start_minor) FROM slice s WHERE s.root_id = v.root_id AND s.state <> 'replaced')
"""


class NotSplit(RuntimeError):
    """A split was refused, or a root's slices do not come to its face: what was measured would be something else."""

    code = "not_split"


async def splits_a_second(home: Path) -> dict[str, Any]:
    """Return splits a second, offered and accepted, beside those of bare SQL; NotSplit when R13 does not hold."""
    async with EmbeddedServers(home, with_kafka=False) as servers:
        settings = Settings().model_copy(update={"server_url": servers.database_url, "home": home})
        url = await ensure_database(server_url=settings.server_url, service=NAME)
        await migrate(url=url, package=f"services.{NAME}")
        database = Database(url, pool_size=1)
        anchor, holder, transferee = (new_id() for _ in range(3))
        try:
            async with database.transaction() as tx:
                await tx.pg.execute(_SEED[0], [anchor, holder, transferee])
                await tx.pg.execute(_SEED[1], anchor)
                await tx.pg.execute("CREATE TABLE bare_slice (LIKE slice INCLUDING ALL)")
            async with (
                serving(settings, NAME) as (port, _),
                client_of(settings, port, role="sme", party=holder) as offering,
                client_of(settings, port, role="sme", party=transferee) as accepting,
            ):
                ours: list[float] = []
                bare: list[float] = []
                for _ in range(_ROUNDS + 1):
                    roots = await _issue(database, anchor=anchor, holder=holder)
                    ours.append(_VOUCHERS / await _split(offering, accepting, roots, transferee=transferee))
                    bare.append(_VOUCHERS / await _bare(database, holder=holder))
                async with database.reader() as tx:
                    if await tx.pg.fetchval(_SUM):
                        raise NotSplit
        finally:
            await database.close()
    ours, bare = ours[1:], bare[1:]
    return {
        "splits_a_second": round(median(ours)),
        "bare_sql": round(median(bare)),
        "ratio": round(median(ours) / median(bare), 3),
        "a_batch": _BATCH,
        "rounds": [round(each) for each in ours],
        "bare_rounds": [round(each) for each in bare],
    }


async def _issue(database: Database, *, anchor: str, holder: str) -> list[str]:
    """Issue vouchers as their rows; a root, its receivable and its one slice have the same id here."""
    roots = [new_id() for _ in range(_VOUCHERS)]
    async with database.transaction() as tx:
        await tx.pg.execute(_RECEIVABLES, roots, holder, anchor, _FACE_MINOR)
        await tx.pg.execute(_ISSUED, roots, anchor, _FACE_MINOR)
        await tx.pg.execute(_WHOLE.format(table="slice"), roots, holder, _FACE_MINOR)
    return roots


async def _split(
    offering: httpx.AsyncClient, accepting: httpx.AsyncClient, roots: Sequence[str], *, transferee: str
) -> float:
    amount = {"amount": f"{_PART_MINOR // 100}.00", "currency": "CNY"}
    offer = {"amount": amount, "transferee_id": transferee, "trade_reference": "bench"}
    began = time.perf_counter()
    for start in range(0, len(roots), _BATCH):
        chosen = roots[start : start + _BATCH]
        items = [{**offer, "idempotency_key": new_id(), "root_id": root, "slice_id": root} for root in chosen]
        offered = _answered(await offering.post("/transfers/batch", json={"items": items}), status=201)
        replies = [
            {"idempotency_key": new_id(), "root_id": root, "transfer_id": each["transfer_id"], "answer": "accept"}
            for root, each in zip(chosen, offered, strict=True)
        ]
        _answered(await accepting.post("/transfers/replies/batch", json={"items": replies}), status=200)
    return time.perf_counter() - began


def _answered(answer: httpx.Response, *, status: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = answer.json().get("items", [])
    if not items or {each["status"] for each in items} != {status}:
        raise NotSplit(answer.text[:500])
    return items


async def _bare(database: Database, *, holder: str) -> float:
    roots = [new_id() for _ in range(_VOUCHERS)]
    async with database.transaction() as tx:
        await tx.pg.execute(_WHOLE.format(table="bare_slice"), roots, holder, _FACE_MINOR)
    cut = _FACE_MINOR - _PART_MINOR
    began = time.perf_counter()
    for start in range(0, len(roots), _BATCH):
        chosen = roots[start : start + _BATCH]
        many = len(chosen)
        ids = [new_id() for _ in range(2 * many)]
        starts, ends = [0] * many + [cut] * many, [cut] * many + [_FACE_MINOR] * many
        async with database.transaction() as tx:
            await tx.pg.execute(_REPLACE, chosen)
            await tx.pg.execute(_SPLIT, ids, [*chosen, *chosen], starts, ends, holder)
    return time.perf_counter() - began
