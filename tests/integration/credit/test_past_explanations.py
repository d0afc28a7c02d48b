"""Bitemporal: what was explained once is explained again, later, as of that instant, to the last unit."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from services.credit.consumers import HANDLERS
from services.credit.queries import past
from shared.events.risk import RatingRecorded
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened
from shared.messaging.retention import archive
from tests.integration.credit.past_story import Story, explain, lines_of
from tests.integration.credit.world import OPEN, World


@pytest.mark.parametrize("seed", range(4))
async def test_explanations_taken_during_a_story_are_those_of_their_instants_later(world: World, seed: int) -> None:
    story = Story(world, seed)
    await story.begin()
    lines, taken = await lines_of(world), []
    for _ in range(45):
        await story.go_on()
        taken += [(line_id, await explain(world, line_id)) for line_id in lines]
    for line_id, told in taken:
        assert await explain(world, line_id, as_of=told["as_of"]) == told
    assert len({told["line"]["available"]["amount"] for _, told in taken}) > 10
    assert len({told["business_date"] for _, told in taken}) > 1
    assert len({told["base"]["carries"]["amount"] for _, told in taken}) > 3
    assert len({told["line"]["enterprise_name"] for _, told in taken}) > 1


async def test_what_is_archived_still_tells_of_the_past(world: World) -> None:
    story = Story(world, 7)
    await story.begin()
    (line_id, *_), taken = await lines_of(world), []
    for _ in range(12):
        await story.go_on()
        taken.append(await explain(world, line_id))
    async with world.database.transaction() as tx:
        await tx.pg.execute("DELETE FROM outbox_pending")
    assert await archive(world.database, owner="test", days=0) > 20
    for told in taken:
        assert await explain(world, line_id, as_of=told["as_of"]) == told


async def test_what_is_kept_but_not_propagated_yet_is_explained_as_it_was_then(world: World) -> None:
    await world.hear(
        BusinessDayOpened(open_date=OPEN), world.firm(world.anchor, name="Anchor", size="large"), world.activated()
    )
    await world.supplier()
    (line_id,) = await lines_of(world)
    unrated = await explain(world, line_id)
    event = world._received(world.rating(world.anchor))
    async with world.database.transaction() as tx:
        await HANDLERS[RatingRecorded](tx, [event])
    kept = await explain(world, line_id)
    await world.hear(world.rating(world.anchor, cap="7.00"))
    for told in (unrated, kept):
        assert await explain(world, line_id, as_of=told["as_of"]) == told
    assert unrated["line"]["reasons"] == ["anchor_unrated"]
    assert kept["line"]["reasons"] == []


async def test_as_of_now_is_what_is_explained_now(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    await world.held(supplier, "100.00")
    (line_id,) = await lines_of(world)
    now = await explain(world, line_id)
    assert await explain(world, line_id, as_of=now["as_of"]) == now
    in_chinese = await explain(world, line_id, as_of=now["as_of"], language="zh")
    assert "已占用 CNY 100.00" in in_chinese["text"]


async def test_a_business_date_that_is_over_is_explained_as_it_ended(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    (line_id,) = await lines_of(world)
    await world.held(supplier, "100.00")
    ended = await explain(world, line_id)
    await world.hear(BusinessDayClosed(closed_date=OPEN, open_date=OPEN + timedelta(days=1)))
    await world.held(supplier, "50.00")
    told = await explain(world, line_id, on=OPEN.isoformat())
    assert {**told, "as_of": ended["as_of"]} == ended
    assert told["business_date"] == OPEN.isoformat()


async def test_what_is_to_come_or_was_before_the_line_is_refused(world: World) -> None:
    before = datetime.now(UTC) - timedelta(days=1)
    await world.begin()
    supplier = await world.supplier()
    line = (await world.line_of(supplier))["line_id"]
    asked = {
        "as_of": [(datetime.now(UTC) + timedelta(days=1)).isoformat(), before.isoformat(), "2026-03-02T00:00:00", "x"],
        "on": [OPEN.isoformat(), date(2020, 1, 1).isoformat()],
    }
    codes = []
    async with world.bench.caller("risk_officer") as bank:
        for name, values in asked.items():
            for value in values:
                answer = await bank.get(f"/lines/{line}/explanation", params={name: value})
                codes.append((answer.status_code, answer.json()["code"]))
    assert codes == [
        (422, "instant_to_come"),
        (404, "unknown_line"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "instant_to_come"),
        (422, "instant_to_come"),
    ]


async def test_r23_of_the_past_too_a_party_sees_of_shared_limits_only_what_was_left(world: World) -> None:
    await world.begin()
    supplier, other = await world.supplier(), await world.supplier()
    await world.held(other, "100.00")
    line = (await world.line_of(supplier))["line_id"]
    then = (await explain(world, line))["as_of"]
    async with world.bench.caller("sme", party=supplier) as sme:
        told = (await sme.get(f"/lines/{line}/explanation", params={"as_of": then})).json()
    assert {node["level"] for node in told["nodes"] if "utilised" in node} == {"sme", "line"}
    async with world.bench.caller("sme", party=other) as sme:
        refused = await sme.get(f"/lines/{line}/explanation", params={"as_of": then})
    assert (refused.status_code, refused.json()["code"]) == (403, "foreign_party")


async def test_a_past_instant_reads_histories_by_index(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO node_history SELECT 'line/' || n % 500, now() - n * interval '1 minute', n
            FROM generate_series(1, 20000) n"""
        )
        await tx.pg.execute("ANALYZE node_history")
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.pg.execute(f"PREPARE past AS {past._SANCTIONED}")
        plan = await tx.pg.fetch("EXPLAIN EXECUTE past(ARRAY['line/1', 'line/2'], now())")
    text = "\n".join(row[0] for row in plan)
    # A generation is a row a programme while its lines are written.
    assert not re.search(r"Seq Scan on (?!generation)", text), text
    assert "line_next_pkey" in text, text


async def test_looking_back_reads_the_events_since_and_not_all_events(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO outbox (id, topic, subject, sequence, type, source, time, body)
            SELECT 'e' || n, 'scf.credit.drawdown.v1', 'd' || n, 1, 'drawdown.held.v1', 'credit',
                now() - (40000 - n) * interval '1 minute', repeat('x', 300) FROM generate_series(1, 40000) n"""
        )
        await tx.pg.execute("SELECT brin_summarize_new_values('outbox_time')")
        await tx.pg.execute("ANALYZE outbox")
        since = "now() - interval '1 hour'"
        asked = f"'scf.credit.drawdown.v1', {since}, ARRAY['drawdown.held.v1'], ARRAY['line/1']"
        # With its instant known, as asyncpg's first executions are planned.
        await tx.pg.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        await tx.pg.execute(f"PREPARE looking AS {past._MOVED}")
        plan = await tx.pg.fetch(f"EXPLAIN EXECUTE looking({asked})")
    text = "\n".join(row[0] for row in plan)
    assert "outbox_time" in text, text
    for table in ("outbox", "drawdown"):
        assert f"Seq Scan on {table} " not in text, text
