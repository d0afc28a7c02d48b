"""I7: read models that are not what the topics say are caught."""

from __future__ import annotations

import asyncpg
import pytest

from tests.integration.verify.clean import Copies
from tests.integration.verify.spoiling import found, put
from tributary.verify import i07_rebuild


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE drawdown SET utilised_minor = utilised_minor + 1 WHERE drawdown_id = 'd-small'",
        "DELETE FROM feed WHERE subject = 'd-small' AND sequence = 1",
        "UPDATE enterprise SET name = 'another' WHERE enterprise_id = 'alpha'",
    ],
)
async def test_i7_a_read_model_that_differs_from_the_topics_is_caught(clean: Copies, statement: str) -> None:
    result = await found(i07_rebuild, clean, console=statement)
    assert result.violations == 1
    assert "rebuilt from the topics" in result.examples[0]


async def test_i7_when_an_event_was_seen_does_not_matter(clean: Copies) -> None:
    result = await found(i07_rebuild, clean, console="UPDATE feed SET seen_at = seen_at + interval '1 day'")
    assert (result.violations, result.examples) == (0, [])


async def test_i7_the_scratch_database_is_gone_afterwards(clean: Copies) -> None:
    await found(i07_rebuild, clean)
    connection = await asyncpg.connect(clean.server_url)
    left = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = 'tributary_console_verify'")
    await connection.close()
    assert left == 0


_PARKED = """INSERT INTO inbox_parked (topic, subject, sequence, event_id, type, headers, body, reason, parked_at)
    VALUES ('scf.risk.rating.v1', 'x', 2, 'e', 't', '[]', '', 'gap', clock_timestamp() - interval '{} s')"""


async def test_i7_an_event_parked_in_console_is_in_flight_and_after_a_minute_a_violation(clean: Copies) -> None:
    young = await found(i07_rebuild, clean, console=_PARKED.format(0))
    assert (young.violations, young.flying) == (0, 1)
    old = await found(i07_rebuild, clean, console=_PARKED.format(61))
    assert (old.violations, old.flying) == (1, 1)
    assert "is parked (gap)" in old.examples[0]


@pytest.mark.parametrize(("age_s", "violations"), [(0, 0), (61, 1)])
async def test_i7_what_console_has_not_read_is_in_flight_and_after_a_minute_a_violation(
    clean: Copies, spoilt_topic: str, age_s: int, violations: int
) -> None:
    for sequence in (1, 2):
        await put(clean, topic=spoilt_topic, subject="d1", event_id=f"d1-{sequence}", sequence=sequence, age_s=age_s)
    result = await found(i07_rebuild, clean)
    assert (result.violations, result.flying) == (violations, 2)
    assert violations == 0 or "console has not read 2 events of scf.risk.decision.v1" in result.examples[0]
