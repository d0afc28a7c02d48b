"""R8, R13: ten thousand attempts from several processes to finance, split and transfer the same claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.receivables.operations.register import number_register
from tests.faults.report import Report
from tests.integration.receivables.claim_desk import attempt
from tests.integration.receivables.desk import ANCHOR, Desk, desk
from tributary.verify import i03_one_financing

PROCESSES, ATTEMPTS = 3, 10_000
FACE = 100_000
_CLAIMS = """
INSERT INTO receivable (receivable_id, seller_id, obligor_id, number, number_key, issue_year, document_type, syntax,
    profile, file, issue_date, due_date, currency, payable_minor, financeable_minor, order_reference, state, reasons,
    policy_version, vouchered)
SELECT 'r' || lpad(n::text, 4, '0'), ($1::text[])[1 + n % 3], $2, 'N' || n, 'n' || n, 2026, '380', 'ubl', '', '',
    '2026-09-01', '2026-12-01', 'CNY', $3, $3, '', 'confirmed', '{}', 'intake/2000-01', n > 40
FROM generate_series(1, 80) n
"""
_VOUCHERS = """
INSERT INTO voucher (root_id, programme_id, obligor_id, receivable_id, currency, face_minor, maturity_date)
SELECT 'v' || substr(receivable_id, 2), $1, obligor_id, receivable_id, 'CNY', payable_minor, due_date FROM receivable
WHERE vouchered
"""
_SLICES = """
INSERT INTO slice (slice_id, root_id, start_minor, end_minor, holder_id, state)
SELECT 's' || substr(v.root_id, 2), v.root_id, 0, v.face_minor, r.seller_id, 'live' FROM voucher v
JOIN receivable r USING (receivable_id)
"""
# Of a document: under how many drawdowns it stands or was paid back, and how much of it they name.
_UNDER = """
SELECT d.document_id, count(*) AS times, sum(replace(d.amount->>'amount', '.', '')::bigint) AS minor
FROM assignment a, jsonb_to_recordset(a.documents) AS d(kind text, document_id text, amount jsonb)
WHERE a.state IN ('assigned', 'withdrawn', 'financed', 'settled') GROUP BY 1
"""
_OF_ROOTS = """
SELECT v.root_id, v.face_minor,
    sum(s.end_minor - s.start_minor) FILTER (WHERE s.state IN ('live', 'offered', 'assigned', 'financed')) AS live,
    sum(s.end_minor - s.start_minor) FILTER (WHERE s.state = 'paid') AS paid,
    sum(s.end_minor - s.start_minor) FILTER (WHERE s.state = 'cancelled') AS cancelled
FROM voucher v JOIN slice s USING (root_id) GROUP BY v.root_id
"""
_REFUSALS = {
    "finance": {
        "document_in_use", "document_vouchered", "document_not_free", "foreign_document", "amount_not_financeable",
    },
    "offer": {"not_possible_now", "foreign_party", "invalid_slice"},
    "reply": {"not_possible_now", "foreign_party"},
}  # fmt: skip


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def test_r8_r13_ten_thousand_attempts_from_several_processes_on_the_same_claims(
    opened: Desk, report: Report
) -> None:
    firms = [firm for name, firm in opened.ids.items() if name != ANCHOR.name]
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute(_CLAIMS, firms, opened.id(ANCHOR), FACE)
        await tx.pg.execute(_VOUCHERS, opened.programme_id)
        await tx.pg.execute(_SLICES)
    spec = {
        "url": opened.bench.database.url,
        "registry": str(opened.bench.settings.registry),
        "firms": firms,
        "obligor": opened.id(ANCHOR),
        "programme": opened.programme_id,
        "attempts": -(-ATTEMPTS // PROCESSES),
    }
    answers = await attempt([{**spec, "seed": seed} for seed in range(PROCESSES)])
    came: Counter[str] = sum((Counter(each["came"]) for each in answers), Counter())
    counts = ", ".join(f"{what} {n}" for what, n in sorted(came.items()))
    report.note(f"{sum(came.values())} attempts on the same claims from {PROCESSES} processes: {counts}")

    assert sum(came.values()) >= ATTEMPTS
    for each in came:
        what, _, code = each.partition(": ")
        assert code == "done" or code in _REFUSALS[what], came
    assert all(f"{what}: done" in came for what in _REFUSALS), came
    assert [silent for each in answers for silent in each["silent"]] == []
    assert came["finance: document_in_use"] > 0
    assert came["offer: not_possible_now"] > 0

    await number_register(opened.bench.database)
    async with opened.bench.database.snapshot() as tx:
        await _never_above_face_never_twice(tx)
        await _said_once(tx)
        await _filed_as_assigned(opened, tx)
    # What `tributary verify` looks at (I3): claims, documents, slices.
    async with opened.bench.database.snapshot() as tx:
        assert await tx.pg.fetch(i03_one_financing._CLAIMS) == []
        assert await tx.pg.fetch(i03_one_financing._DOCUMENTS) == []
        assert [row for row in await tx.pg.fetch(i03_one_financing._SLICES) if not row["whole"]] == []


async def _never_above_face_never_twice(tx: Any) -> None:
    roots = await tx.pg.fetch(_OF_ROOTS)
    assert len(roots) == 40
    for row in roots:
        assert (row["live"] or 0) + (row["paid"] or 0) + (row["cancelled"] or 0) == row["face_minor"] == FACE
    assert sum(row["paid"] or 0 for row in roots) > 0
    under = await tx.pg.fetch(_UNDER)
    assert under
    assert [row["document_id"] for row in under if row["times"] > 1] == []
    assert [row["document_id"] for row in under if row["minor"] > FACE] == []


async def _said_once(tx: Any) -> None:
    """R19: what became of a drawdown or slice was said once, and each paid slice was paid by one event."""
    twice = """SELECT type, subject FROM outbox WHERE type LIKE 'assignment.%' AND type <> 'assignment.freed.v1'
        GROUP BY 1, 2 HAVING count(*) > 1"""
    assert await tx.pg.fetch(twice) == []
    settled = "SELECT body::jsonb->>'slice_id' AS id FROM outbox WHERE type = 'voucher.settled.v1'"
    paid = sorted(row["id"] for row in await tx.pg.fetch(settled))
    stored = await tx.pg.fetch("SELECT slice_id FROM slice WHERE state = 'paid' ORDER BY slice_id")
    assert paid == [row["slice_id"] for row in stored]


async def _filed_as_assigned(opened: Desk, tx: Any) -> None:
    """R9: who stands in the movables registry and in the bank's register is who has the documents, and no one else."""
    rows = await tx.pg.fetch("SELECT drawdown_id FROM assignment WHERE state IN ('assigned', 'financed')")
    assigned = {row["drawdown_id"] for row in rows}
    standing: set[str] = set()
    for line in opened.filings():
        (standing.add if line["kind"] == "filing" else standing.discard)(line["drawdown_id"])
    assert standing == assigned
    kept = await tx.pg.fetch(
        "SELECT DISTINCT ON (drawdown_id) drawdown_id, kind FROM register_entry ORDER BY drawdown_id, entry_id DESC"
    )
    assert {row["drawdown_id"] for row in kept if row["kind"] == "registration"} == assigned
