"""Every page reads by an index: its cost does not grow with the history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from services.console import queries
from services.console.main import build
from tests.support.service import Bench, bench

_MANY = """
INSERT INTO feed (event_id, topic, type, subject, sequence, time, facts)
SELECT 'e' || n, 'scf.credit.drawdown.v1', 'drawdown.held.v1', 's' || n / 5, n % 5, now() - n * interval '1 second',
    '{"enterprise_id": "e1"}' FROM generate_series(1, 20000) n;
INSERT INTO enterprise (enterprise_id, name) SELECT 'e' || n, 'Firm ' || n FROM generate_series(1, 20000) n;
INSERT INTO programme_exposure (programme_id, currency, name, limit_minor)
SELECT 'p' || n, 'CNY', 'P', 100 FROM generate_series(1, 50) n;
INSERT INTO line_exposure (line_id, programme_id, enterprise_id, currency, direction, tier, cap_minor, held_minor)
SELECT 'l' || n, 'p' || 1 + n % 50, 'e' || n, 'CNY', 'upstream', 1 + n % 3, 100, CASE WHEN n < 9 THEN 90 ELSE 89 END
FROM generate_series(1, 5000) n;
INSERT INTO drawdown (drawdown_id, line_id, programme_id, enterprise_id, obligor_id, currency, principal_minor,
    exposure_minor, state)
SELECT 'd' || n, 'l1', 'p1', 'e' || 1 + n % 5000, 'e1', 'CNY', 1, 1, CASE WHEN n < 9 THEN 'referred' ELSE 'repaid' END
FROM generate_series(1, 20000) n;
INSERT INTO book VALUES ('book', '2026-03-10');
INSERT INTO loan (loan_id, state, standing)
SELECT 'd' || n, CASE WHEN n < 9 THEN 'unknown' WHEN n < 5000 THEN 'disbursed' ELSE 'closed' END, jsonb_build_object(
    'instalments', jsonb_build_array(jsonb_build_object('settled_date', NULL,
        'due_date', '2026-03-10'::date - CASE WHEN n BETWEEN 11 AND 18 THEN n - 10 ELSE 0 END)))
FROM generate_series(1, 20000) n;
INSERT INTO receivable (receivable_id, state) SELECT 'r' || n, CASE WHEN n < 9 THEN 'referred' ELSE 'settled' END
FROM generate_series(1, 20000) n;
INSERT INTO credit_note (credit_note_id, state, parts)
SELECT 'k' || n, CASE WHEN n < 9 THEN 'referred' ELSE 'applied' END,
    jsonb_build_array(jsonb_build_object('receivable_id', 'r' || n)) FROM generate_series(1, 20000) n;
INSERT INTO netting (netting_id, state) SELECT 'n' || n, CASE WHEN n < 9 THEN 'proposed' ELSE 'settled' END
FROM generate_series(1, 20000) n;
INSERT INTO collection (collection_id, unmatched_minor) SELECT 'c' || n, CASE WHEN n < 9 THEN 1 ELSE 0 END
FROM generate_series(1, 20000) n
"""
_BIG = {"feed", "drawdown", "loan", "receivable", "collection", "netting", "line_exposure", "enterprise", "credit_note"}


class _Explaining:
    """A database whose statements are explained as they run, under the parameters they run with."""

    def __init__(self, console: Bench) -> None:
        self._database = console.database
        self.scanned: set[str] = set()

    def reader(self) -> Any:
        return _Opened(self, self._database.reader())

    snapshot = reader


class _Opened:
    def __init__(self, owner: _Explaining, inner: Any) -> None:
        self._owner = owner
        self._inner = inner

    async def __aenter__(self) -> Self:
        self._pg = (await self._inner.__aenter__()).pg
        self.pg = self
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._inner.__aexit__(*error)

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        plan = await self._pg.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
        self._owner.scanned |= _scans(plan[0]["Plan"])
        return await self._pg.fetch(statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        return (await self.fetch(statement, *arguments) or [None])[0]

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        return (await self.fetch(statement, *arguments))[0][0]


def _scans(node: dict[str, Any]) -> set[str]:
    """Return the tables that a plan reads from end to end."""
    mine = {node["Relation Name"]} if node["Node Type"] == "Seq Scan" else set()
    return mine.union(*(_scans(each) for each in node.get("Plans", [])))


@pytest.fixture
async def full(fresh_database: str, tmp_path: Path) -> AsyncIterator[_Explaining]:
    async with bench("console", build, url=fresh_database, home=tmp_path) as made:
        async with made.database.transaction() as tx:
            await tx.pg.execute(_MANY)
        async with made.database.transaction() as tx:
            await tx.pg.execute("ANALYZE")
        yield _Explaining(made)


async def test_no_page_reads_a_big_table_from_end_to_end(full: Any) -> None:
    end = datetime(9999, 1, 1, tzinfo=UTC)
    assert len(await queries.feed_before(full, time=end, position=0, limit=100)) == 100
    assert len(await queries.feed_before(full, time=end, position=0, subject="s7", limit=100)) == 5
    assert len(await queries.feed_after(full, position=19_990, limit=100)) == 10
    assert len(await queries.feed_after(full, position=0, subject="s7", limit=100)) == 5
    assert await queries.feed_end(full) == 20_000
    assert len(await queries.lines(full, programme_id="p1", place=-1, line_id="", limit=50)) == 50
    assert len(await queries.all_lines(full, programme_id="p1", place=1, line_id="l9", limit=50)) == 50
    assert len(await queries.first_lines(full, programme_ids=["p1", "p2"], limit=25)) == 50
    assert len(await queries.drawdowns(full, before="d9", limit=100)) == 100
    assert len(await queries.documents(full, before="s", state="", limit=100)) == 100
    assert len(await queries.documents(full, before="s", state="referred", limit=100)) == 8
    assert await queries.document(full, receivable_id="r7") is not None
    assert len(await queries.credit_notes(full, before="l", state="", limit=100)) == 100
    assert len(await queries.credit_notes(full, before="l", state="referred", limit=100)) == 8
    assert await queries.credit_note(full, credit_note_id="k7") is not None
    assert await queries.loan(full, loan_id="d7", receipts=10) is not None
    found = await queries.queues(full, limit=50)
    assert [len(rows) for rows in found.values()] == [8, 0, 0, 8, 8, 8, 8, 8, 8, 0, 8]
    assert [row["days_past_due"] for row in found["overdue_loans"]] == list(range(8, 0, -1)), "the latest first"
    assert full.scanned & _BIG == set()


async def test_the_check_of_plans_sees_a_lost_index(full: Any) -> None:
    async with full._database.transaction() as tx:
        await tx.pg.execute("DROP INDEX feed_time")
    await queries.feed_before(full, time=datetime(9999, 1, 1, tzinfo=UTC), position=0, limit=100)
    assert "feed" in full.scanned
