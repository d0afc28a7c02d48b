"""Console's read models from every event type, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from services.console import queries
from services.console.consumers import HANDLERS, PUBLISHERS
from services.console.domain.summaries import SUMMARIES
from services.console.main import build
from services.console.tables import STATE
from shared.events import credit, settlement
from shared.events.audit import AuditSealed
from shared.events.envelope import EVENT_TYPES
from tests.integration.console.story import (
    DRAW,
    LATE,
    LINE,
    LINE_3,
    PROGRAMME,
    SUPPLIER,
    apply,
    cny,
    held,
    identity,
    interleaved,
    received,
    story,
)
from tests.support.service import Bench, bench


@pytest.fixture
async def console(fresh_database: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench("console", build, url=fresh_database, home=tmp_path) as made:
        yield made


async def _forget_everything(console: Bench) -> None:
    tables = [table for table, _, _ in STATE]
    async with console.database.transaction() as tx:
        await tx.pg.execute(f"TRUNCATE {', '.join(tables)}, inbox_head, inbox_parked")


async def _hash(console: Bench) -> str:
    async with console.database.snapshot() as tx:
        return await queries.state_hash(tx)


async def _line(console: Bench, line_id: str) -> tuple[int, int, int]:
    async with console.database.reader() as tx:
        row = await tx.pg.fetchrow(
            "SELECT cap_minor, held_minor, utilised_minor FROM line_exposure WHERE line_id = $1", line_id
        )
    return tuple(row) if row else (0, 0, 0)


def test_every_event_type_has_a_summary_a_handler_and_a_place_in_the_story() -> None:
    modules = {publisher.__name__ for publisher in PUBLISHERS}
    published = {kind for kind in EVENT_TYPES.values() if kind.__module__ in modules}
    assert {kind.type for kind in published} == set(SUMMARIES)
    # The heads of the audit logs are for whoever verifies them: they move their own heads here and nothing else.
    assert published == set(HANDLERS) - {AuditSealed}
    assert {type(event) for event in story()} == published


async def test_the_whole_story_is_applied_and_shown_as_it_was_told(console: Bench) -> None:
    told = received(story())
    outcomes = await apply(console.database, told)
    assert sum(outcome.applied for outcome in outcomes) == len(told)
    assert [outcome.parked for outcome in outcomes] == [[]]
    # Of 100 nothing is left; 50 went out late; 70 waits for a person.
    assert await _line(console, LINE) == (45_000, 7_000, 5_000)
    assert await _line(console, LINE_3) == (13_700, 0, 0)
    programme = await queries.programme(console.app.fastapi.state.database, programme_id=PROGRAMME)
    assert programme is not None
    assert (programme["held_minor"], programme["utilised_minor"]) == (9_000, 5_000)
    assert (programme["limit_minor"], programme["available_minor"]) == (90_000, 76_000)
    assert (programme["name"], programme["state"]) == ("Jiangnan supply", "suspended")


async def test_r15_lists_show_the_days_past_due_of_the_business_date_whatever_was_announced(console: Bench) -> None:
    told = received(story())
    paid_out = next(nth for nth, each in enumerate(told) if isinstance(each.event, settlement.LoanDisbursed))
    await apply(console.database, told[: paid_out + 1])
    reads = console.app.fastapi.state.database
    (lent,) = [
        each for each in await queries.drawdowns(reads, before="", limit=10) if each["loan_state"] == "disbursed"
    ]
    async with console.database.reader() as tx:
        due = date.fromisoformat(
            await tx.pg.fetchval("SELECT oldest_unpaid FROM loan WHERE loan_id = $1", lent["drawdown_id"])
        )
    # Not announced before grace is over, and then by marks: the lists count all the same.
    for days in (0, 1, 2, 45):
        async with console.database.transaction() as tx:
            await tx.pg.execute("UPDATE book SET open_date = $1", due + timedelta(days=days))
        late = [each["days_past_due"] for each in (await queries.queues(reads, limit=10))["overdue_loans"]]
        assert late == ([days] if days else [])
        shown = {
            each["drawdown_id"]: each["days_past_due"] for each in await queries.drawdowns(reads, before="", limit=10)
        }
        assert shown[lent["drawdown_id"]] == days
    await apply(console.database, told[paid_out + 1 :])
    assert (await queries.queues(reads, limit=10))["overdue_loans"] == []


async def test_the_queues_hold_what_waits_for_a_person(console: Bench) -> None:
    await apply(console.database, received(story()))
    found = await queries.queues(console.app.fastapi.state.database, limit=10)
    assert [row["reason"] for row in found["referred_drawdowns"]] == ["above_automatic_approval"]
    assert [row["drawdown_id"] for row in found["incidents"]] == [LATE]
    assert [row["end_to_end_id"] for row in found["unknown_payments"]] == ["E2E-3"]
    assert [row["number"] for row in found["referred_receivables"]] == ["INV-3"]
    assert [row["unmatched_minor"] for row in found["unmatched_receipts"]] == [400, 400]
    assert [(row["parties"], row["cleared_minor"]) for row in found["open_nettings"]] == [(3, 18_000)]
    assert found["overdue_loans"] == found["parked"] == []


async def test_r19_a_second_delivery_changes_nothing(console: Bench) -> None:
    told = received(story())
    await apply(console.database, told)
    before = await _hash(console)
    outcomes = await apply(console.database, told, batch=7)
    assert sum(outcome.duplicates for outcome in outcomes) == len(told)
    assert await _hash(console) == before


async def test_i7_any_interleaving_of_aggregates_gives_the_same_state(console: Bench) -> None:
    told = received(story())
    await apply(console.database, told)
    expected = await _hash(console)
    for seed in range(8):
        await _forget_everything(console)
        assert await _hash(console) != expected
        outcomes = await apply(console.database, interleaved(told, seed=seed), batch=1 + seed * 5)
        assert all(not outcome.parked for outcome in outcomes)
        assert await _hash(console) == expected, seed


async def test_i7_the_hash_sees_a_changed_amount_a_lost_event_and_no_processing_time(console: Bench) -> None:
    await apply(console.database, received(story()))
    expected = await _hash(console)
    async with console.database.transaction() as tx:
        await tx.pg.execute("UPDATE feed SET seen_at = now() + interval '1 day'")
    assert await _hash(console) == expected
    async with console.database.transaction() as tx:
        await tx.pg.execute("UPDATE line_exposure SET held_minor = held_minor + 1 WHERE line_id = $1", LINE)
    changed = await _hash(console)
    async with console.database.transaction() as tx:
        await tx.pg.execute("UPDATE line_exposure SET held_minor = held_minor - 1 WHERE line_id = $1", LINE)
        await tx.pg.execute("DELETE FROM feed WHERE subject = $1 AND sequence = 2", DRAW)
    assert len({expected, changed, await _hash(console)}) == 3


async def test_r11_a_reversal_uses_the_line_again(console: Bench) -> None:
    again = credit.DrawdownReinstated(drawdown_id=DRAW, principal=cny("-25.00"), outstanding=cny("25.00"), line_id=LINE)
    await apply(console.database, received([*story(), again]))
    assert await _line(console, LINE) == (45_000, 7_000, 7_500)


async def test_a_purchase_uses_its_face_and_gives_it_back_in_proportion(console: Bench) -> None:
    purchase = identity(51)
    drawn = held(purchase, LINE, SUPPLIER, "95.00").model_copy(update={"held": cny("100.00")})
    utilised = credit.DrawdownUtilised(drawdown_id=purchase, principal=cny("95.00"))
    partly = credit.DrawdownReinstated(
        drawdown_id=purchase, principal=cny("35.00"), outstanding=cny("60.00"), line_id=LINE
    )
    await apply(console.database, received([drawn]))
    assert (await _line(console, LINE))[1:] == (10_000, 0)
    await apply(console.database, received([drawn, utilised]))
    assert (await _line(console, LINE))[1:] == (0, 10_000)
    await apply(console.database, received([drawn, utilised, partly]))
    # 100.00 × 60 / 95, rounded down.
    assert (await _line(console, LINE))[1:] == (0, 6_315)


async def test_who_reads_the_feed_on_from_a_position_misses_no_later_commit(console: Bench) -> None:
    told = received(story())
    written = asyncio.Event()

    async def second_inbox() -> None:
        await written.wait()
        await apply(console.database, told[1:3])

    second = asyncio.create_task(second_inbox())
    async with console.database.transaction() as tx:
        await HANDLERS[type(told[0].event)](tx, [told[0]])  # type: ignore[index] # a known event
        written.set()
        await asyncio.wait({second}, timeout=0.5)
        # It may not draw a position before the first has committed: a reader would go past the first for ever.
        assert not second.done()
    await second
    rows = await queries.feed_after(console.app.fastapi.state.database, position=0, limit=100)
    assert [row["event_id"] for row in rows] == [each.id for each in told[:3]]
