"""What a netting asks for often keeps to its indexes, however many debts and proposals there are."""

from __future__ import annotations

from typing import Any

import pytest

from services.settlement.operations import answer_nettings, end_nettings, obligations, run_netting
from services.settlement.queries import netting_reading as reading
from tests.integration.settlement.desk import Desk

MANY = 20_000
FILL = (
    f"""INSERT INTO obligation (receivable_id, creditor_id, debtor_id, number, currency, due_date, open_minor, agreed)
    SELECT 'r' || lpad(n::text, 9, '0'), 'e' || n % 400, 'e' || (n + 7) % 400, 'N' || n, 'CNY', '2026-12-01', 100,
        n % 20 = 0 FROM generate_series(1, {MANY}) n""",  # noqa: S608 - a number
    "INSERT INTO obligation_use SELECT receivable_id, 'd' || receivable_id FROM obligation WHERE NOT agreed",
    """INSERT INTO netting_run (run_id, currency, firms, debts, owed_minor, cleared_minor, cash_for_all_minor,
        policy_version, ran_by) VALUES ('run', 'CNY', 1, 1, 1, 1, 1, 'netting/2000-01', 'x')""",
    """INSERT INTO netting (netting_id, run_id, currency, cleared_minor, accept_by, state, code)
    SELECT 'n' || lpad(n::text, 9, '0'), 'run', 'CNY', 1, clock_timestamp() + make_interval(hours => n),
        CASE WHEN n % 200 = 0 THEN 'proposed' ELSE 'ended' END, CASE WHEN n % 200 = 0 THEN NULL ELSE 'declined' END
    FROM generate_series(1, 5000) n""",
    """INSERT INTO netting_leg SELECT netting_id, 'r' || lpad((1 + (k * 31 + nth) % 20000)::text, 9, '0'),
        'e' || k, 'e' || k + 1, 1
    FROM (SELECT netting_id, row_number() OVER (ORDER BY netting_id) AS nth FROM netting) n, generate_series(1, 5) k""",
    """INSERT INTO netting_party (netting_id, enterprise_id)
    SELECT netting_id, 'e' || (nth * 5 + k) % 400
    FROM (SELECT netting_id, row_number() OVER (ORDER BY netting_id) AS nth FROM netting) n, generate_series(1, 5) k""",
    "ANALYZE",
)
NETTING, DEBTS = ["n000000200"], ["r000000020", "r000000040"]
HOT: list[tuple[str, str, tuple[Any, ...]]] = [
    ("a page of a firm's debts", reading.OWN_OBLIGATIONS, ("", 101, "e7")),
    ("a page of the bank's debts", reading.ALL_OBLIGATIONS, ("", 101)),
    ("a page of a firm's nettings", reading.OWN_NETTINGS, ("", 101, "e7")),
    ("a page of the bank's nettings", reading.ALL_NETTINGS, ("", 101)),
    ("the legs of a netting", reading.LEGS, (NETTING[0], "e7")),
    ("the proposals that a change ends", obligations._CHANGED, (DEBTS,)),
    ("the lock of debts that an event is about", "SELECT FROM obligation WHERE receivable_id = ANY($1)", (DEBTS,)),
    ("the lock of a netting", answer_nettings._LOCK, (NETTING,)),
    ("who else is waited for", answer_nettings._OTHERS_WAIT, (NETTING[0], "e7")),
    ("what is late", end_nettings._LATE, ()),
    ("the debts of a run that are held", run_netting._LOCK, (DEBTS,)),
]


@pytest.fixture
async def filled(desk: Desk) -> Desk:
    async with desk.service.database.transaction() as tx:
        for statement in FILL:
            await tx.pg.execute(statement)
    return desk


@pytest.mark.parametrize(("what", "statement", "values"), HOT, ids=[each[0] for each in HOT])
async def test_a_hot_statement_scans_no_table(filled: Desk, what: str, statement: str, values: tuple[Any, ...]) -> None:
    async with filled.service.database.transaction() as tx:
        plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {statement}", *values))
    for table in ("obligation", "netting", "netting_leg", "netting_party"):
        assert f"Seq Scan on {table} " not in plan, f"{what}\n{plan}"


async def test_a_run_reads_the_free_debts_and_no_others(filled: Desk) -> None:
    async with filled.service.database.transaction() as tx:
        plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {run_netting.DEBTS}", "CNY", None))
        found = await tx.pg.fetch(run_netting.DEBTS, "CNY", None)
    assert "obligation_free" in plan, plan
    assert len(found) == MANY // 20
