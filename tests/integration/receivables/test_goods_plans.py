"""The hot statements of goods keep to their indexes, however many lots and readings there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from services.receivables.operations import (
    appraise_goods,
    follow_loans,
    pledge_goods,
    release_goods,
    take_goods,
    take_readings,
)
from services.receivables.queries import goods
from tests.integration.receivables.desk import Desk, desk
from tests.support.servers import a_database

MANY = 20_000
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FILL = (
    "INSERT INTO enterprise SELECT 'e' || n, 'firm ' || n, 'firm ' || n FROM generate_series(0, 399) n",
    f"""INSERT INTO goods (goods_id, owner_id, number, number_key, warehouse, warehouse_key, country, city, item,
        goods_class, quantity_milli, unit, currency, condition, issue_date, due_date, state, drawdown_id,
        appraised_date)
    SELECT 'g' || lpad(n::text, 9, '0'), 'e' || n % 400, 'W' || n, 'w' || n, 'Y', 'y', 'CN', 'Shanghai', 'copper',
        'metal', 1000, 't', 'CNY', 'good', '2026-03-01', '2026-06-01',
        CASE WHEN n % 2000 = 0 THEN 'agreed' WHEN n % 2 = 0 THEN 'financed' ELSE 'pledged' END,
        CASE WHEN n % 2 = 0 AND n % 2000 <> 0 THEN 'd' || n END,
        CASE WHEN n % 1000 = 7 THEN '2026-03-01' ELSE '2026-03-02' END::date
    FROM generate_series(1, {MANY}) n""",  # noqa: S608 - a number
    """INSERT INTO goods_valuation (goods_id, valued_date, source, unit_value_minor, actor)
    SELECT goods_id, date '2026-03-01' - d, 'exchange', 100, 'x' FROM goods CROSS JOIN generate_series(0, 4) d""",
    "INSERT INTO goods_device SELECT 't' || substr(goods_id, 2), goods_id FROM goods",
    """INSERT INTO goods_reading (device, measured_at, goods_id, quantity_milli)
    SELECT 't' || substr(goods_id, 2), timestamptz '2026-03-02 12:00Z' - h * interval '1 hour', goods_id, 1000
    FROM goods CROSS JOIN generate_series(0, 4) h""",
    """INSERT INTO assignment (drawdown_id, programme_id, enterprise_id, obligor_id, state, documents,
        registry_reference, lent_minor)
    SELECT drawdown_id, 'p', owner_id, owner_id, 'financed', jsonb_build_array(jsonb_build_object('kind', 'goods',
        'document_id', goods_id)), 'R', 1 FROM goods WHERE drawdown_id IS NOT NULL""",
    "ANALYZE",
)
LOT, DEVICE = "g000000007", "t000000007"
HOT: list[tuple[str, str, tuple[Any, ...]]] = [
    ("a page of the bank's goods", goods.ALL_LOTS, ("", "", 101)),
    ("a page of a firm's goods", goods.OWN_LOTS, ("", "", 101, "e7")),
    ("how a lot was valued", goods.VALUATIONS_OF, (LOT,)),
    ("what watches a lot", goods.DEVICES_OF, (LOT,)),
    ("a page of readings", goods.READINGS_OF, (LOT, NOON, "", 101)),
    ("a receipt by its claim", take_goods.FIND_GOODS, ("y", "w7")),
    ("the valuations that may count", appraise_goods._VALUATIONS, ([LOT], date(2026, 3, 2))),
    ("what is due today", appraise_goods._DUE, (appraise_goods._SECURING, date(2026, 3, 2), 500)),
    ("the assignments of lots", appraise_goods._LOCK_ASSIGNMENTS, ([LOT],)),
    ("whom devices watch", take_readings._DEVICES, ([DEVICE],)),
    ("what a device said before", take_readings.STANDING, ([DEVICE], [NOON])),
    ("what waits for the registry", pledge_goods._WAITING, (200,)),
    ("loans over what is released", release_goods.FINANCED, (["d2", "d4"],)),
    ("the goods of a drawdown", follow_loans._LOCK_GOODS, (["d2", "d4"],)),
]
pytestmark = pytest.mark.asyncio(loop_scope="module")


# Plans are only read: one filled database serves them all.
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    home = tmp_path_factory.mktemp("plans")
    async with a_database(postgres_url, f"plans{uuid4().hex[:12]}") as url, desk(url, home) as made:
        async with made.bench.database.transaction() as tx:
            for statement in FILL:
                await tx.pg.execute(statement)
        yield made


@pytest.mark.parametrize(("what", "statement", "values"), HOT, ids=[each[0] for each in HOT])
async def test_a_hot_statement_scans_no_table(filled: Desk, what: str, statement: str, values: tuple[Any, ...]) -> None:
    async with filled.bench.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL random_page_cost = 1.1")
        plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {statement}", *values))
    for table in ("goods", "goods_valuation", "goods_device", "goods_reading", "assignment"):
        assert f"Seq Scan on {table} " not in plan, f"{what}\n{plan}"
