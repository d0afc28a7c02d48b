"""`tributary events parked` shows what waits, of every service or of one."""

from __future__ import annotations

from pathlib import Path

from shared.storage.database import Database, migrate
from tests.support.service import settings_for
from tributary.parked import lines, parked

_PARK = """
INSERT INTO inbox_parked (topic, subject, sequence, event_id, type, headers, body, reason, waits_topic, waits_subject,
    error, attempts, parked_at)
SELECT 'scf.x.y.v1', 's' || n, 1, 'e' || n, 'x.y.v1', '[]', '', CASE n WHEN 1 THEN 'waits' ELSE 'failed' END,
    CASE n WHEN 1 THEN 'scf.x.w.v1' END, CASE n WHEN 1 THEN 'w' END, CASE n WHEN 1 THEN NULL ELSE 'ValueError: no' END,
    n, clock_timestamp() - interval '1 hour'
FROM generate_series(1, 501) AS n
"""


async def test_every_parked_event_is_listed_with_what_it_waits_for(empty_database: str, tmp_path: Path) -> None:
    await migrate(url=empty_database, package="services.credit")
    settings = settings_for(url=empty_database, home=tmp_path)
    assert await parked(settings, services=["credit"]) == {"credit": []}
    database = Database(empty_database, pool_size=1)
    async with database.transaction() as tx:
        await tx.pg.execute(_PARK)
    await database.close()
    found = await parked(settings, services=["credit"])
    assert [each["subject"] for each in found["credit"]] == [f"s{n}" for n in range(1, 502)]
    first, second = lines(found)[:2]
    assert "credit/1" in first
    assert first.endswith("x.y.v1 s1 #1  scf.x.y.v1  1 tries  waits for scf.x.w.v1 w  OVERDUE")
    assert second.endswith("x.y.v1 s2 #1  scf.x.y.v1  2 tries  ValueError: no")
