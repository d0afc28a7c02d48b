"""What moves a programme's inputs is noted, and propagated once; what must stop draws does not wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from datetime import UTC, datetime

import pytest

from services.credit.consumers import HANDLERS
from services.credit.operations import propagate_due as job
from services.credit.operations import propagate_limits
from services.credit.operations.due_propagations import notes_of
from services.credit.operations.large_programmes import PropagationFailed
from services.credit.operations.propagate_due import propagate_due
from shared.events.envelope import Event, Received
from shared.events.onboarding import EnterpriseSuspended, ProgrammeLimitChanged
from shared.events.settlement import BusinessDayOpened
from shared.runtime.tracing import handling, new_traceparent
from shared.values.ids import new_id
from tests.integration.credit.world import OPEN, World, cny

LIMITS = {"limit": cny("900.00"), "upstream_limit": cny("900.00"), "downstream_limit": cny("900.00")}


async def _keep(world: World, events: Sequence[Event], *, traceparent: str | None = None) -> None:
    """Handle events of one type and commit; propagate nothing yet."""
    said = [Received(new_id(), e.type, e.topic, e.subject, 9, datetime.now(UTC), "test", None, e) for e in events]
    async with world.database.transaction() as tx:
        with handling("test", [(each.subject, traceparent) for each in events]):
            await HANDLERS[type(events[0])](tx, said)


async def _in_each_others_dark(world: World, first: Event, second: Event) -> None:
    """Handle two events in two transactions of which neither sees the other; the first commits first."""
    handled, committed = asyncio.Event(), asyncio.Event()

    async def handle(event: Event, *, after: asyncio.Event, then: asyncio.Event) -> None:
        said = Received(new_id(), event.type, event.topic, event.subject, 9, datetime.now(UTC), "test", None, event)
        async with world.database.transaction() as tx:
            await HANDLERS[type(event)](tx, [said])
            handled.set()
            await after.wait()
        await propagate_due(world.database)
        then.set()

    async with asyncio.TaskGroup() as group:
        both = asyncio.Event()
        later = group.create_task(handle(second, after=committed, then=asyncio.Event()), context=Context())
        await handled.wait()
        handled.clear()
        group.create_task(handle(first, after=both, then=committed), context=Context())
        await handled.wait()
        assert not later.done()
        both.set()


async def _caps(world: World, *firms: str) -> list[str]:
    return [(await world.line_of(each))["cap"]["amount"] for each in firms]


async def test_any_number_of_notes_propagates_a_programme_once_to_the_last_state(world: World) -> None:
    await world.begin()
    first, second = await world.supplier(), await world.supplier()
    before = len(await world.told(world.programme))
    await _keep(world, [world.rating(first, cap="70.00")])
    await _keep(world, [world.rating(second, cap="60.00"), world.rating(first, cap="50.00")])
    await _keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LIMITS)])
    assert await _caps(world, first, second) == ["500000.00", "500000.00"]
    await propagate_due(world.database)
    assert await _caps(world, first, second) == ["50.00", "60.00"]
    assert len(await world.told(world.programme)) == before + 1
    await propagate_due(world.database)
    assert len(await world.told(world.programme)) == before + 1


async def test_several_workers_propagate_a_programme_once(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    before = len(await world.told(world.programme))
    await _keep(world, [world.rating(supplier, cap="70.00")])
    await asyncio.gather(*(propagate_due(world.database) for _ in range(4)))
    assert len(await world.told(world.programme)) == before + 1
    assert await _caps(world, supplier) == ["70.00"]


async def test_a_programme_that_somebody_else_has_is_left_for_later(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    await _keep(world, [world.rating(supplier, cap="70.00")])
    async with world.database.transaction() as tx:
        await tx.pg.execute("SELECT FROM programme FOR UPDATE")
        async with asyncio.timeout(60):
            await asyncio.create_task(propagate_due(world.database), context=Context())
    assert await _caps(world, supplier) == ["1000000.00"]
    await propagate_due(world.database)
    assert await _caps(world, supplier) == ["70.00"]


@pytest.mark.parametrize("admission_commits_first", [True, False])
async def test_a_rating_and_an_admission_that_do_not_see_each_other_make_a_line_all_the_same(
    world: World, *, admission_commits_first: bool
) -> None:
    await world.begin()
    firm = new_id()
    await world.hear(world.firm(firm), world.link(firm, world.anchor))
    events: list[Event] = [world.member(firm), world.rating(firm, cap="70.00")]
    await _in_each_others_dark(world, *(events if admission_commits_first else reversed(events)))
    assert await _caps(world, firm) == ["70.00"]


@pytest.mark.parametrize("admission_comes_first", [True, False])
async def test_a_suspension_and_an_admission_at_once_leave_no_open_line(
    world: World, *, admission_comes_first: bool
) -> None:
    await world.begin()
    firm = new_id()
    await world.hear(world.firm(firm), world.link(firm, world.anchor), world.rating(firm))
    events: list[Event] = [world.member(firm), EnterpriseSuspended(enterprise_id=firm, reason="watch list")]
    first, second = events if admission_comes_first else reversed(events)
    said = Received(new_id(), first.type, first.topic, first.subject, 9, datetime.now(UTC), "test", None, first)
    async with world.database.transaction() as tx:
        await HANDLERS[type(first)](tx, [said])
        # The firm's lock keeps the second one back until the first is durable.
        waiting = asyncio.create_task(_keep(world, [second]), context=Context())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    await waiting
    await propagate_due(world.database)
    assert await _caps(world, firm) == ["0.00"]
    assert "sme_suspended" in (await world.line_of(firm))["reasons"]


@pytest.mark.parametrize("programme_commits_first", [True, False])
async def test_a_link_and_a_programme_that_do_not_see_each_other_reach_the_line(
    world: World, *, programme_commits_first: bool
) -> None:
    firm = new_id()
    await world.hear(BusinessDayOpened(open_date=OPEN), world.firm(world.anchor), world.rating(world.anchor))
    await world.hear(world.firm(firm), world.rating(firm), world.member(firm))
    events: list[Event] = [world.activated(), world.link(firm, world.anchor)]
    await _in_each_others_dark(world, *(events if programme_commits_first else reversed(events)))
    assert (await world.line_of(firm))["tier"] == 1


async def test_a_suspension_stops_draws_whatever_is_due(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    await _keep(world, [world.rating(supplier, cap="900000.00")])
    await _keep(world, [EnterpriseSuspended(enterprise_id=supplier, reason="watch list")])
    refused = await world.draw(supplier, [document], "10.00")
    assert (refused.status_code, refused.json()["code"]) == (409, "line_not_drawable")
    assert await _caps(world, supplier) == ["0.00"]


async def test_a_programme_that_cannot_be_propagated_holds_up_no_other(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    broken = World(world.bench)
    broken.programme = f"0-{broken.programme}"
    await broken.begin()
    other = await broken.supplier()
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """UPDATE programme SET terms = terms || '{"propagation_policy": "lost"}' WHERE programme_id = $1""",
            broken.programme,
        )
    await _keep(world, [world.rating(other, cap="70.00"), world.rating(supplier, cap="70.00")])
    with pytest.raises(Exception, match="lost"):
        await propagate_due(world.database)
    assert await _caps(world, supplier) == ["70.00"]
    async with world.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT array_agg(DISTINCT programme_id) FROM due_propagation") == [
            broken.programme
        ]


async def test_r19_what_was_noted_goes_on_in_the_trace_of_what_moved_it(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    traceparent = new_traceparent()
    await _keep(world, [world.rating(supplier, cap="70.00")], traceparent=traceparent)
    await propagate_due(world.database)
    async with world.database.reader() as tx:
        found = await tx.pg.fetchval(
            "SELECT traceparent FROM outbox WHERE subject = $1 ORDER BY sequence DESC LIMIT 1", world.programme
        )
    assert found == traceparent


async def test_the_job_is_woken_by_a_commit_that_notes_and_by_no_other(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    signal = notes_of(world.database.url)
    await world.receivable(supplier)
    assert not signal.is_set()
    await _keep(world, [world.rating(supplier, cap="70.00")])
    assert signal.is_set()


async def test_what_is_due_is_found_by_index_among_many_programmes(world: World) -> None:
    await world.begin()
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            """INSERT INTO programme (programme_id, name, anchor_id, group_head_id, currency, terms)
            SELECT 'p' || n, name, anchor_id, group_head_id, currency, terms
            FROM programme, generate_series(1, 5000) AS n"""
        )
        await tx.pg.execute("ANALYZE programme")
        for statement, given in ((job._TAKE, ()), (job._LAST_NOTE, ("p",))):
            plan = "\n".join(row[0] for row in await tx.pg.fetch(f"EXPLAIN {statement}", *given))
            assert "Seq Scan on programme" not in plan, plan
            assert "Index Cond" in plan, plan


async def test_more_than_a_moments_lines_are_propagated_in_a_process_of_their_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "INLINE_LINES", 1)
    monkeypatch.setattr(propagate_limits, "INLINE_LINES", 1)
    await world.begin()
    first, second = await world.supplier(), await world.supplier()
    document = await world.receivable(first)
    before = len(await world.told(world.programme))
    await _keep(world, [ProgrammeLimitChanged(programme_id=world.programme, reason="less", **LIMITS)])
    await _keep(world, [EnterpriseSuspended(enterprise_id=first, reason="watch list")])
    refused = await world.draw(first, [document], "10.00")
    assert "sme_suspended" in refused.json()["reasons"]
    assert await _caps(world, first, second) == ["500000.00", "500000.00"]
    await propagate_due(world.database)
    assert await _caps(world, first, second) == ["0.00", "900.00"]
    assert len(await world.told(world.programme)) == before + 1
    async with world.database.transaction() as tx:
        await tx.pg.execute("""UPDATE programme SET terms = terms || '{"limit": "none"}'""")
    await _keep(world, [world.rating(second, cap="70.00")])
    with pytest.raises(PropagationFailed, match="limit"):
        await propagate_due(world.database)
    async with world.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT bool_and(not_before > clock_timestamp()) FROM due_propagation")
