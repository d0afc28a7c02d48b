"""Documents are assigned to drawdowns: filed, notified, freed, financed, settled."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from services.receivables.consumers import handlers
from services.receivables.operations.movables_registry import Filed, FiledBefore, Filing, MovablesRegistry
from shared.events.credit import DrawdownReleased
from shared.runtime.clock import database_now
from shared.values.ids import new_id
from tests.integration.receivables.desk import (
    ANCHOR,
    SECOND,
    SUPPLIER,
    Desk,
    closed,
    desk,
    disbursed,
    key,
    programme,
    receivable,
)
from tests.support.einvoices import Sample

INVOICE = Sample(SUPPLIER, ANCHOR)


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def test_documents_are_assigned_filed_and_notified_then_financed_and_settled(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    held = opened.held(receivable(receivable_id))
    outcome = await opened.hear(held)
    assert (outcome.applied, outcome.parked) == (1, [])
    (assigned,) = await opened.events("assignment.documents_assigned.v1")
    (filing,) = opened.filings()
    assert filing["reference"] == assigned["registry_reference"] == "MR-00000001"
    assert filing["drawdown_id"] == held.drawdown_id
    async with opened.maker() as obligor:
        (notice,) = (await obligor.get("/notices")).json()["items"]
    assert "COLLECT-1" in notice["body"]
    assert sha256(notice["body"].encode()).hexdigest() == notice["digest"] == assigned["notice_digest"]
    found = await opened.read(f"/assignments/{held.drawdown_id}")
    assert (found["state"], found["registry_reference"]) == ("assigned", "MR-00000001")
    assert [each["digest"] for each in found["notices"]] == [notice["digest"]]
    read = await opened.read(f"/receivables/{receivable_id}")
    assert (read["state"], read["assigned_to"]) == ("assigned", held.drawdown_id)
    await opened.hear(disbursed(held.drawdown_id))
    assert await opened.state(receivable_id) == "financed"
    async with opened.maker() as obligor:
        seen = (await obligor.get(f"/receivables/{receivable_id}")).json()
    assert (seen["state"], seen["assigned_to"]) == ("assigned", None)
    await opened.hear(closed(held.drawdown_id))
    assert await opened.state(receivable_id) == "settled"
    assert [each["type"] for each in await opened.events()][-4:] == [
        "assignment.documents_assigned.v1",
        "assignment.financed.v1",
        "receivable.settled.v1",
        "assignment.settled.v1",
    ]
    assert [line["kind"] for line in opened.filings()] == ["filing", "discharge"]


async def test_r8_one_active_financing_first_wins_all_or_none(opened: Desk) -> None:
    one = await opened.confirmed()
    two = await opened.confirmed(replace(INVOICE, number="INV-2"))
    first = opened.held(receivable(one))
    second = opened.held(receivable(two), receivable(one))
    third = opened.held(receivable(two))
    await opened.hear(first, second, third)
    (refused,) = await opened.events("assignment.refused.v1")
    assert (refused["drawdown_id"], refused["code"]) == (second.drawdown_id, "document_in_use")
    assert [await opened.state(each) for each in (one, two)] == ["assigned", "assigned"]
    late = opened.held(receivable(one))
    await opened.hear(late)
    assert (await opened.read(f"/assignments/{late.drawdown_id}"))["code"] == "document_in_use"


async def test_r8_a_settled_invoice_is_never_financed_or_taken_in_again(opened: Desk) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one))
    await opened.hear(held)
    await opened.hear(disbursed(held.drawdown_id))
    await opened.hear(closed(held.drawdown_id))
    again = opened.held(receivable(one))
    await opened.hear(again)
    assert (await opened.read(f"/assignments/{again.drawdown_id}"))["code"] == "document_in_use"


@pytest.mark.parametrize(
    ("amount", "by", "code"),
    [
        ("1000.01", SUPPLIER, "amount_not_financeable"),
        ("0.00", SUPPLIER, "amount_not_financeable"),
        ("500.00", SECOND, "foreign_document"),
    ],
)
async def test_a_drawdown_that_its_documents_do_not_carry_is_refused(
    opened: Desk, amount: str, by: Any, code: str
) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one, amount), by=by)
    await opened.hear(held)
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["code"] == code
    assert (await opened.state(one), opened.filings()) == ("confirmed", [])


async def test_what_nobody_confirmed_or_knows_is_not_assigned(opened: Desk) -> None:
    taken = await opened.taken()
    for document_id, code in ((taken, "document_not_free"), (new_id(), "unknown_document")):
        held = opened.held(receivable(document_id))
        await opened.hear(held)
        assert (await opened.read(f"/assignments/{held.drawdown_id}"))["code"] == code


async def test_of_a_drawdown_without_documents_nothing_is_assigned_filed_or_settled(opened: Desk) -> None:
    none = opened.held()
    await opened.hear(none)
    late = DrawdownReleased(drawdown_id=none.drawdown_id, reason="late")
    for event in (disbursed(none.drawdown_id), closed(none.drawdown_id), late):
        await opened.hear(event)
        found = await opened.read(f"/assignments/{none.drawdown_id}")
        assert (found["state"], found["documents"], found["registry_reference"]) == ("nothing", [], None)
    assert opened.filings() == []


async def test_released_documents_can_be_financed_again(opened: Desk) -> None:
    one = await opened.confirmed()
    first, second = opened.held(receivable(one)), opened.held(receivable(one))
    await opened.hear(first)
    await opened.hear(DrawdownReleased(drawdown_id=first.drawdown_id, reason="cancelled"))
    assert (await opened.read(f"/assignments/{first.drawdown_id}"))["state"] == "freed"
    await opened.hear(second)
    assert (await opened.read(f"/assignments/{second.drawdown_id}"))["state"] == "assigned"
    assert [line["kind"] for line in opened.filings()] == ["filing", "discharge", "filing"]
    await opened.hear(DrawdownReleased(drawdown_id=new_id(), reason="never assigned"))
    assert len(await opened.events("assignment.freed.v1")) == 1


async def test_money_that_goes_out_after_release_takes_the_free_documents_again(opened: Desk) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one))
    await opened.hear(held)
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="expired"))
    await opened.hear(disbursed(held.drawdown_id))
    assert await opened.state(one) == "financed"
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["reason"] == "disbursed after release"
    lines = opened.filings()
    assert [line["kind"] for line in lines] == ["filing", "discharge", "filing"]
    assert lines[0]["assets"] == lines[2]["assets"]


async def test_money_after_release_leaves_documents_that_another_took(opened: Desk) -> None:
    one = await opened.confirmed()
    held, other = opened.held(receivable(one)), opened.held(receivable(one))
    await opened.hear(held)
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="expired"))
    await opened.hear(other)
    await opened.hear(disbursed(held.drawdown_id))
    assert (await opened.read(f"/receivables/{one}"))["assigned_to"] == other.drawdown_id
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["state"] == "financed"


async def test_r6_a_note_before_the_money_goes_out_withdraws_the_documents(opened: Desk) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one))
    await opened.hear(held)
    note = {"amount": {"amount": "300.00", "currency": "CNY"}, "reason": "short delivery", "reference": "CN-1"}
    async with opened.maker() as maker:
        assert (await maker.post(f"/receivables/{one}/dilutions", json=note, headers=key())).status_code == 201
    (withdrawn,) = await opened.events("assignment.withdrawn.v1")
    assert withdrawn["drawdown_id"] == held.drawdown_id
    assert await opened.state(one) == "assigned"
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="documents withdrawn"))
    assert await opened.state(one) == "confirmed"


async def test_r19_a_held_drawdown_heard_again_changes_nothing(opened: Desk) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one))
    await opened.hear(held)
    await opened.hear(held)
    assert len(await opened.events("assignment.documents_assigned.v1")) == 1
    assert len(opened.filings()) == 1


async def test_r19_a_crash_between_the_filing_and_the_commit_is_harmless(opened: Desk) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one))
    registry = MovablesRegistry(opened.bench.settings.registry)
    async with opened.bench.database.reader() as tx:
        now = await database_now(tx)
    asset = f"receivable/{opened.id(SUPPLIER)}/inv1/2026"
    filing = Filing(held.drawdown_id, opened.id(SUPPLIER), opened.id(ANCHOR), (asset,))
    (before,) = await registry.file([filing], at=now)
    assert isinstance(before, Filed)
    await opened.hear(held)
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["registry_reference"] == before.reference
    assert len(opened.filings()) == 1


async def test_r9_what_another_registered_first_is_refused(opened: Desk) -> None:
    one = await opened.confirmed()
    registry = MovablesRegistry(opened.bench.settings.registry)
    async with opened.bench.database.reader() as tx:
        now = await database_now(tx)
    asset = f"receivable/{opened.id(SUPPLIER)}/inv1/2026"
    await registry.file([Filing(new_id(), opened.id(SUPPLIER), opened.id(ANCHOR), (asset,))], at=now)
    held = opened.held(receivable(one))
    await opened.hear(held)
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["code"] == "registered_before"
    assert await opened.state(one) == "confirmed"


async def test_the_registry_cuts_a_torn_line_and_several_processes_keep_one_order(opened: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "another"
    async with opened.bench.database.reader() as tx:
        now = await database_now(tx)
    left, right = MovablesRegistry(folder), MovablesRegistry(folder)
    drawdowns = [new_id() for _ in range(20)]
    filings = [Filing(each, "s", "o", (f"asset-{n}",)) for n, each in enumerate(drawdowns)]
    await asyncio.gather(*((left, right)[n % 2].file([each], at=now) for n, each in enumerate(filings)))
    path = folder / "filings.jsonl"
    with path.open("ab") as stream:
        stream.write(b'{"sequence": 21, "kind"')
    fresh = MovablesRegistry(folder)
    (other,) = await fresh.file([Filing(new_id(), "s", "o", ("asset-7",))], at=now)
    assert other == FiledBefore("asset-7", drawdowns[7])
    (more,) = await left.file([Filing(new_id(), "s", "o", ("asset-99",))], at=now)
    assert isinstance(more, Filed)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, 22))


async def test_who_holds_the_registry_makes_the_others_wait(opened: Desk, tmp_path: Path) -> None:
    async with opened.bench.database.reader() as tx:
        now = await database_now(tx)
    registry = MovablesRegistry(tmp_path)
    filing = Filing(new_id(), "s", "o", ("asset",))
    with (tmp_path / "filings.jsonl").open("ab") as another:
        fcntl.flock(another, fcntl.LOCK_EX)
        waiting = asyncio.create_task(registry.file([filing], at=now))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    (filed,) = await waiting
    assert isinstance(filed, Filed)


async def test_r25_a_drawdown_of_a_programme_not_heard_of_waits_and_then_goes_on(opened: Desk) -> None:
    one = await opened.confirmed()
    other = new_id()
    held = opened.held(receivable(one)).model_copy(update={"programme_id": other})
    outcome = await opened.hear(held)
    assert [each.reason for each in outcome.parked] == ["waits"]
    early = await opened.hear(disbursed(new_id()))
    assert [each.reason for each in early.parked] == ["waits"]
    assert opened.filings() == []
    await opened.hear(programme(other, opened.id(ANCHOR)))
    await opened.apply([outcome.parked[0].arrival])
    assert await opened.state(one) == "assigned"


async def test_every_event_has_its_handler_and_each_topic_is_heard(opened: Desk) -> None:
    known = {event.type for event in handlers(opened.bench.settings)}
    assert {"drawdown.held.v1", "loan.closed.v1", "enterprise.registered.v1"} <= known


async def test_r23_an_assignment_is_read_by_the_bank_and_its_borrower(opened: Desk) -> None:
    one = await opened.confirmed()
    held = opened.held(receivable(one))
    await opened.hear(held)
    for firm, status in ((SUPPLIER, 200), (SECOND, 403)):
        async with opened.sme(firm) as sme:
            assert (await sme.get(f"/assignments/{held.drawdown_id}")).status_code == status
            assert (await sme.get("/assignments/none")).json()["code"] == "invalid_id"
            assert (await sme.get(f"/assignments/{new_id()}")).json()["code"] == "unknown_assignment"
