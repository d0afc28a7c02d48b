"""What intake and assignments look up of near duplicates, sightings and the register keeps to its indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.receivables.operations import refer_near_duplicates, register, sightings
from services.receivables.queries import crosschecks
from services.receivables.queries import register as reading
from shared.storage.database import packed
from tests.integration.receivables.desk import Desk, desk
from tests.integration.receivables.test_plans import FILL, MANY

BESIDE = (
    "INSERT INTO party_identifier SELECT 'VAT' || substr(enterprise_id, 2), enterprise_id, 'vat' FROM enterprise",
    """INSERT INTO assignment (drawdown_id, programme_id, enterprise_id, obligor_id, state, documents,
        registry_reference, registered_at)
    SELECT drawdown_id, 'p', seller_id, obligor_id, 'financed', jsonb_build_array(jsonb_build_object('kind',
        'receivable', 'document_id', receivable_id, 'amount', '{"amount": "1.00", "currency": "CNY"}'::jsonb)), 'MR',
        clock_timestamp() FROM receivable WHERE drawdown_id IS NOT NULL""",
    """INSERT INTO notice (notice_id, drawdown_id, obligor_id, body, digest)
    SELECT 'n' || drawdown_id, drawdown_id, obligor_id, '', '' FROM assignment""",
    """UPDATE notice SET means = 'platform', delivered_at = clock_timestamp(), recorded_by = 'x'
    WHERE notice_id <> 'nd2'""",
    """INSERT INTO register_entry (number, kind, drawdown_id, reference, at, statement)
    SELECT row_number() OVER (), 'registration', drawdown_id, 'MR', clock_timestamp(), '{}' FROM assignment""",
    """INSERT INTO sighting (receivable_id, crosscheck_id, kind, partner)
    SELECT receivable_id, 'c', 'claim', 'other' FROM receivable""",
    "ANALYZE",
)
HOT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "near duplicates at intake": (
        refer_near_duplicates.STANDING,
        (
            *map(packed, (["0"], ["r000000007"], ["e7"], ["CNY"], ["100"], ["2026-09-01"], ["31"], ["50"])),
            ["r000000007"],
        ),
    ),
    "other registrations of a firm": (refer_near_duplicates.TWINS, (["e7"],)),
    "what is held back": (sightings.HELD_BACK, (["r000000007"],)),
    "a page of sightings": (crosschecks.SIGHTINGS, ("", "", "", True, 101)),
    "the documents of a registration": (register._COLLATERAL, (["d2"],)),
    "the firms of a registration": (register._FIRMS, (["e7", "e407"],)),
    "the entry that a discharge ends": (register._DISCHARGE, (["d2"], datetime(2026, 9, 1, tzinfo=UTC), "settled")),
    "what has no number yet": (register.NUMBER, (1000,)),
    "what an amendment starts from": (register._STANDING, (["d2"],)),
    "the orders of invoices that fell": (register._ORDERS_OF, (["r000000007"],)),
    "the end of the register": (register.NEWEST, ()),
    "a page of changes": (reading.CHANGES, (7, MANY, 101)),
    "a page of what stands": (reading.STANDING, (7, MANY, 101)),
    "a page of notices that nothing proves": (reading._OPEN_NOTICES, ("", 101, True)),
    "the notices of an obligor": (reading._OWN_NOTICES, ("", 101, False, "e407")),
}
TABLES = ("receivable", "enterprise", "party_identifier", "assignment", "notice", "register_entry", "sighting", "slice")


@pytest.fixture
async def filled(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        async with made.bench.database.transaction() as tx:
            for statement in (*FILL[:-1], *BESIDE):
                await tx.pg.execute(statement)
        yield made


async def test_r8_r9_no_look_up_of_intake_assignment_or_export_scans_a_table(filled: Desk) -> None:
    scanned = {}
    async with filled.bench.database.transaction() as tx:
        await tx.pg.execute("SET LOCAL random_page_cost = 1.1")
        for what, (statement, values) in HOT.items():
            plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {statement}", *values))
            if any(f"Seq Scan on {table}" in plan for table in TABLES):
                scanned[what] = plan
            if what == "near duplicates at intake":
                assert "receivable_amount" in plan, plan
    assert scanned == {}, "\n\n".join(f"{what}\n{plan}" for what, plan in scanned.items())
