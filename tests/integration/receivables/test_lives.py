"""What becomes of a receivable: confirmed, diluted, vouchered, passed on, assigned, financed, settled."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.receivables.consumers import handlers
from services.receivables.operations.movables_registry import Filed, FiledBefore, Filing, MovablesRegistry
from shared.events.credit import DrawdownReleased
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened, LoanClosed, LoanDisbursed
from shared.runtime.clock import database_now
from shared.values.ids import new_id
from tests.integration.receivables.desk import (
    ANCHOR,
    SECOND,
    SUPPLIER,
    Desk,
    cny,
    desk,
    key,
    piece,
    programme,
    receivable,
)
from tests.support.einvoices import Sample

INVOICE = Sample(SUPPLIER, ANCHOR)


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


def disbursed(drawdown_id: str) -> LoanDisbursed:
    day = date(2026, 11, 24)
    return LoanDisbursed(
        loan_id=drawdown_id,
        principal=cny("500.00"),
        paid_out=cny("499.00"),
        disbursed_date=day,
        maturity_date=date(2026, 12, 6),
    )


def closed(drawdown_id: str) -> LoanClosed:
    return LoanClosed(loan_id=drawdown_id, closed_date=date(2026, 12, 6))


async def test_r22_who_proposes_a_confirmation_cannot_approve_it_and_no_other_firm_can(opened: Desk) -> None:
    receivable_id = await opened.taken()
    body = {"receivable_ids": [receivable_id], "undertaking": "irrevocable", "due_date": "2026-11-30"}
    both = opened.bench.caller("anchor_maker", "anchor_checker", party=opened.id(ANCHOR))
    async with both as person, opened.checker() as checker, opened.checker(SECOND) as stranger:
        proposed = (await person.post("/confirmations", json=body)).json()
        assert (proposed["subject"], proposed["content"]["undertaking"]) == (opened.id(ANCHOR), "irrevocable")
        approval = f"/approvals/{proposed['approval_id']}/approve"
        own, foreign = await person.post(approval), await stranger.post(approval)
        assert (own.status_code, own.json()["code"]) == (403, "own_proposal")
        assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_approval")
        assert (await stranger.get("/approvals")).json()["items"] == []
        assert len((await checker.get("/approvals")).json()["items"]) == 1
        assert (await checker.post(approval)).status_code == 200
        assert (await checker.post(approval)).json()["code"] == "already_decided"
    (confirmed,) = await opened.events("receivable.confirmed.v1")
    assert (confirmed["undertaking"], confirmed["due_date"]) == ("irrevocable", "2026-11-30")
    assert confirmed["financeable"] == {"amount": "1000.00", "currency": "CNY"}
    found = await opened.read(f"/receivables/{receivable_id}")
    assert (found["state"], found["due_date"], found["undertaking"]) == ("confirmed", "2026-11-30", "irrevocable")


@pytest.mark.parametrize(("due_date", "code"), [("2026-08-31", "invalid_due_date"), ("9999-12-31", "invalid_request")])
async def test_the_obligor_states_no_impossible_due_date(opened: Desk, due_date: str, code: str) -> None:
    body = {"receivable_ids": [await opened.taken()], "undertaking": "none", "due_date": due_date}
    async with opened.maker() as maker:
        answer = await maker.post("/confirmations", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_batch_is_confirmed_whole_or_not_at_all(opened: Desk) -> None:
    mine = await opened.taken()
    foreign = await opened.taken(Sample(SUPPLIER, SECOND, number="2"))
    for ids, status, code in (
        ([mine, foreign], 403, "foreign_party"),
        ([mine, new_id()], 404, "unknown_receivable"),
        ([], 422, "invalid_request"),
    ):
        async with opened.maker() as maker:
            answer = await maker.post("/confirmations", json={"receivable_ids": ids, "undertaking": "none"})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    more = [await opened.taken(replace(INVOICE, number=f"B{n}")) for n in range(5)]
    async with opened.maker() as maker, opened.checker() as checker:
        proposed = await maker.post("/confirmations", json={"receivable_ids": [mine, *more], "undertaking": "none"})
        rejected = await maker.post(f"/receivables/{more[0]}/rejections", json={"reason": "wrong price"})
        assert rejected.status_code == 200
        failed = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
        assert (failed.status_code, failed.json()["code"]) == (409, "not_possible_now")
        declined = await checker.post(
            f"/approvals/{proposed.json()['approval_id']}/decline", json={"reason": "one was rejected"}
        )
        assert (declined.status_code, declined.json()["state"]) == (200, "declined")
    assert await opened.state(mine) == "validated"
    assert await opened.events("receivable.confirmed.v1") == []


async def test_r6_a_note_lowers_what_can_be_financed_and_counts_once(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    note = {"amount": {"amount": "100.00", "currency": "CNY"}, "reason": "returned goods", "reference": "CN-1"}
    path, once = f"/receivables/{receivable_id}/dilutions", key()
    async with opened.maker() as maker, opened.maker(SECOND) as stranger:
        missing = await maker.post(path, json=note)
        first, repeat = [await maker.post(path, json=note, headers=once) for _ in range(2)]
        other = await maker.post(path, json={**note, "reason": "something else"}, headers=once)
        again = await maker.post(path, json=note, headers=key())
        above = await maker.post(
            path, json={**note, "reference": "CN-2", "amount": cny("901.00").model_dump()}, headers=key()
        )
        negative = await maker.post(
            path, json={**note, "reference": "CN-2", "amount": cny("-1.00").model_dump()}, headers=key()
        )
        foreign = await stranger.post(path, json={**note, "reference": "CN-2"}, headers=key())
    assert (missing.status_code, missing.json()["code"]) == (400, "missing_idempotency_key")
    assert (first.status_code, first.json()["financeable"]["amount"]) == (201, "900.00")
    assert repeat.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_dilution")
    assert (above.status_code, above.json()["code"]) == (422, "invalid_amount")
    assert (negative.status_code, negative.json()["code"]) == (422, "invalid_amount")
    assert foreign.status_code == 403
    (diluted,) = await opened.events("receivable.diluted.v1")
    assert (diluted["by"]["amount"], diluted["financeable"]["amount"]) == ("100.00", "900.00")


async def test_r6_under_an_irrevocable_undertaking_no_note_counts(opened: Desk) -> None:
    receivable_id = await opened.confirmed(undertaking="irrevocable")
    note = {"amount": {"amount": "100.00", "currency": "CNY"}, "reason": "returned goods", "reference": "CN-1"}
    async with opened.maker() as maker:
        answer = await maker.post(f"/receivables/{receivable_id}/dilutions", json=note, headers=key())
    assert (answer.status_code, answer.json()["code"]) == (409, "undertaking_irrevocable")


async def test_r6_concurrent_notes_take_off_no_more_than_is_payable(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    path, amount = f"/receivables/{receivable_id}/dilutions", cny("300.00").model_dump()
    async with opened.maker() as maker:
        answers = await asyncio.gather(
            *(
                maker.post(path, json={"amount": amount, "reason": "returned", "reference": f"CN-{n}"}, headers=key())
                for n in range(8)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [422] * 5
    assert (await opened.read(f"/receivables/{receivable_id}"))["financeable"]["amount"] == "100.00"


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
    none = opened.held()
    await opened.hear(none)
    assert (await opened.read(f"/assignments/{none.drawdown_id}"))["code"] == "no_documents"


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


async def test_a_voucher_replaces_its_receivable_and_is_passed_on_split_and_financed(opened: Desk) -> None:
    voucher = await opened.voucher()
    root, (first,) = voucher["root_id"], voucher["slices"]
    assert (first["start_minor"], first["end_minor"], first["state"]) == (0, 100_000, "live")
    direct = opened.held(receivable(voucher["receivable_id"]))
    await opened.hear(direct)
    assert (await opened.read(f"/assignments/{direct.drawdown_id}"))["code"] == "document_vouchered"
    offer = {
        "slice_id": first["slice_id"],
        "amount": {"amount": "400.00", "currency": "CNY"},
        "transferee_id": opened.id(SECOND),
        "trade_reference": "PO-9",
    }
    async with opened.sme(SUPPLIER) as holder, opened.sme(SECOND) as transferee:
        offered = await holder.post(f"/vouchers/{root}/transfers", json=offer, headers=key())
        assert (offered.status_code, offered.json()["state"]) == (201, "offered")
        path = f"/vouchers/{root}/transfers/{offered.json()['transfer_id']}/accept"
        own = await holder.post(path, headers=key())
        assert (own.status_code, own.json()["code"]) == (403, "foreign_party")
        assert len((await transferee.get("/transfers")).json()["items"]) == 1
        once = key()
        accepted, repeat = [await transferee.post(path, headers=once) for _ in range(2)]
        late = await transferee.post(path, headers=key())
        seen = (await transferee.get(f"/vouchers/{root}")).json()["slices"]
    assert accepted.status_code == 200, accepted.text
    assert repeat.json() == accepted.json()
    assert (late.status_code, late.json()["code"]) == (409, "not_possible_now")
    given, kept = accepted.json()["slices"]
    assert (given["start_minor"], given["end_minor"], given["holder_id"]) == (60_000, 100_000, opened.id(SECOND))
    assert (kept["start_minor"], kept["end_minor"], kept["holder_id"]) == (0, 60_000, opened.id(SUPPLIER))
    assert seen == [given]
    (moved,) = await opened.events("voucher.transferred.v1")
    assert (moved["replaced_slice_id"], moved["trade_reference"]) == (first["slice_id"], "PO-9")
    held = opened.held(piece(given["slice_id"], "400.00"), by=SECOND)
    wrong = opened.held(piece(kept["slice_id"], "600.00"), by=SECOND)
    await opened.hear(held, wrong)
    assert (await opened.read(f"/assignments/{wrong.drawdown_id}"))["code"] == "foreign_document"
    await opened.hear(disbursed(held.drawdown_id))
    states = {each["slice_id"]: each["state"] for each in (await opened.read(f"/vouchers/{root}"))["slices"]}
    assert states == {first["slice_id"]: "replaced", given["slice_id"]: "financed", kept["slice_id"]: "live"}
    await opened.hear(closed(held.drawdown_id))
    assert [each["slice_id"] for each in await opened.events("voucher.settled.v1")] == [given["slice_id"]]
    assert await opened.state(voucher["receivable_id"]) == "confirmed"
    rest = opened.held(piece(kept["slice_id"], "600.00"))
    for event in (rest, disbursed(rest.drawdown_id), closed(rest.drawdown_id)):
        await opened.hear(event)
    assert await opened.state(voucher["receivable_id"]) == "settled"


async def test_r13_offered_assigned_and_matured_slices_cannot_be_transferred(opened: Desk) -> None:
    voucher = await opened.voucher()
    root, slice_id = voucher["root_id"], voucher["slices"][0]["slice_id"]
    offer = {
        "slice_id": slice_id,
        "amount": {"amount": "400.00", "currency": "CNY"},
        "transferee_id": opened.id(SECOND),
        "trade_reference": "PO-9",
    }

    async def offered(**changes: Any) -> tuple[int, str]:
        async with opened.sme(SUPPLIER) as holder:
            answer = await holder.post(f"/vouchers/{root}/transfers", json={**offer, **changes}, headers=key())
        return answer.status_code, answer.json().get("code") or answer.json()["transfer_id"]

    assert await offered(amount=cny("1000.01").model_dump()) == (422, "invalid_slice")
    assert await offered(amount={"amount": "1.00", "currency": "EUR"}) == (422, "currency_mismatch")
    assert await offered(transferee_id=new_id()) == (422, "unknown_party")
    assert await offered(transferee_id=opened.id(SUPPLIER)) == (422, "invalid_slice")
    assert await offered(slice_id=new_id()) == (404, "unknown_voucher")
    _, transfer_id = await offered()
    assert await offered() == (409, "not_possible_now")
    held = opened.held(piece(slice_id, "1000.00"))
    await opened.hear(held)
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["code"] == "document_not_free"
    async with opened.sme(SECOND) as transferee:
        declined = await transferee.post(f"/vouchers/{root}/transfers/{transfer_id}/decline", headers=key())
    assert declined.status_code == 200, declined.text
    held = opened.held(piece(slice_id, "1000.00"))
    await opened.hear(held)
    assert await offered() == (409, "not_possible_now")
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="cancelled"))
    await opened.hear(BusinessDayOpened(open_date=date(2026, 9, 1)))
    await opened.hear(BusinessDayClosed(closed_date=date(2026, 11, 30), open_date=date(2026, 12, 1)))
    assert await offered() == (409, "not_possible_now")


async def test_r13_the_database_itself_lets_no_slices_overlap(opened: Desk) -> None:
    voucher = await opened.voucher()
    insert = """INSERT INTO slice (slice_id, root_id, start_minor, end_minor, holder_id, state)
        VALUES ($1, $2, 99999, 100001, $3, 'live')"""
    with pytest.raises(asyncpg.ExclusionViolationError):
        async with opened.bench.database.transaction() as tx:
            await tx.pg.execute(insert, new_id(), voucher["root_id"], opened.id(SECOND))


async def test_r15_a_voucher_stays_within_a_year_and_the_issuance_limit_and_is_issued_once(opened: Desk) -> None:
    async def issued(receivable_id: str) -> tuple[int, str]:
        body = {"programme_id": opened.programme_id, "receivable_id": receivable_id}
        async with opened.maker() as maker:
            answer = await maker.post("/vouchers", json=body, headers=key())
        return answer.status_code, answer.json().get("code", "proposed")

    await opened.hear(BusinessDayOpened(open_date=date(2026, 9, 1)))
    long = await opened.confirmed(replace(INVOICE, number="long", due_date=date(2027, 9, 3)))
    assert await issued(long) == (422, "voucher_too_long")
    due = await opened.confirmed(replace(INVOICE, number="due", due_date=date(2026, 9, 1)))
    assert await issued(due) == (409, "not_possible_now")
    first = await opened.voucher()
    assert await issued(first["receivable_id"]) == (409, "not_possible_now")
    second = await opened.confirmed(replace(INVOICE, number="second"))
    assert await issued(second) == (409, "issuance_limit_exceeded")
    small = replace(INVOICE, number="small", gross="500.00", prepaid="0.00", payable="500.00")
    assert await issued(await opened.confirmed(small)) == (201, "proposed")
    assert await issued(await opened.taken(replace(INVOICE, number="new"))) == (409, "not_possible_now")
    async with opened.maker(SECOND) as stranger:
        body = {"programme_id": opened.programme_id, "receivable_id": second}
        answer = await stranger.post("/vouchers", json=body, headers=key())
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_party")


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
