"""What becomes of a receivable: confirmed, diluted, vouchered, passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.events.credit import DrawdownReleased
from shared.events.settlement import BusinessDayClosed, BusinessDayOpened
from shared.values.ids import new_id
from tests.integration.receivables.desk import (
    ANCHOR,
    SECOND,
    SUPPLIER,
    Desk,
    closed,
    cny,
    desk,
    disbursed,
    key,
    piece,
    receivable,
)
from tests.support.einvoices import Sample

INVOICE = Sample(SUPPLIER, ANCHOR)


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


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
    more = [await opened.taken(replace(INVOICE, number=f"INV-1{n}")) for n in range(5)]
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
    long = await opened.confirmed(replace(INVOICE, number="V-1", due_date=date(2027, 9, 3)))
    assert await issued(long) == (422, "voucher_too_long")
    due = await opened.confirmed(replace(INVOICE, number="V-2", due_date=date(2026, 9, 1)))
    assert await issued(due) == (409, "not_possible_now")
    first = await opened.voucher(replace(INVOICE, number="V-0"))
    assert await issued(first["receivable_id"]) == (409, "not_possible_now")
    second = await opened.confirmed(replace(INVOICE, number="V-3"))
    assert await issued(second) == (409, "issuance_limit_exceeded")
    small = replace(INVOICE, number="small", gross="500.00", prepaid="0.00", payable="500.00")
    assert await issued(await opened.confirmed(small)) == (201, "proposed")
    assert await issued(await opened.taken(replace(INVOICE, number="new"))) == (409, "not_possible_now")
    async with opened.maker(SECOND) as stranger:
        body = {"programme_id": opened.programme_id, "receivable_id": second}
        answer = await stranger.post("/vouchers", json=body, headers=key())
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_party")
