"""Credit notes as documents: matched with what they cite, before and after financing; or a person says (R6, R8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextvars import Context
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from services.receivables.operations.take_notes import place_waiting
from shared.events.credit import DrawdownHeld
from shared.storage.database import Transaction
from shared.values.ids import new_id
from tests.integration.receivables.desk import (
    ANCHOR,
    CSV,
    JSON,
    SECOND,
    SUPPLIER,
    Desk,
    as_received,
    desk,
    disbursed,
    key,
    receivable,
)
from tests.support.einvoices import Firm, Sample, cii, ubl

INVOICE = Sample(SUPPLIER, ANCHOR)
NOTE = Sample(
    SUPPLIER,
    ANCHOR,
    number="CN-1",
    type_code="381",
    gross="100.00",
    prepaid="0.00",
    payable="100.00",
    cites=(("INV-1", date(2026, 9, 1)),),
)


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def noted(opened: Desk, note: Sample = NOTE) -> dict[str, Any]:
    answer = await opened.upload(ubl(note, root="CreditNote"))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_r6_a_note_lowers_what_it_cites_whatever_syntax_it_comes_in_and_once(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    first = await noted(opened)
    assert (first["state"], first["parts"], first["reasons"]) == ("applied", [part(receivable_id)], [])
    other = await opened.upload(cii(replace(NOTE, number="CN-2", cites=(("inv 001", None),), type_code="381")))
    assert (other.status_code, other.json()["state"]) == (201, "referred")
    as_json = await opened.upload(json.dumps(_json(opened, "CN-3", "INV-1")).encode(), JSON)
    assert (as_json.status_code, as_json.json()["parts"]) == (201, [part(receivable_id)])
    rows = f"{opened.id(SUPPLIER)},{opened.id(ANCHOR)},CN-4,381,2026-10-02,100.00,CNY,INV-1\n"
    header = "seller_id,obligor_id,number,document_type,issue_date,amount,currency,preceding_invoice\n"
    answer = await opened.upload((header + rows).encode(), CSV)
    assert [(each["outcome"], each["state"]) for each in answer.json()["items"]] == [("accepted", "applied")]
    for again in (ubl(NOTE, root="CreditNote"), cii(replace(NOTE, number="cn 1", cites=()))):
        repeated = await opened.upload(again)
        assert (repeated.status_code, repeated.json()["code"]) == (409, "duplicate_credit_note")
        assert repeated.json()["credit_note_id"] == first["credit_note_id"]
    found = await opened.read(f"/receivables/{receivable_id}")
    assert (found["financeable"]["amount"], found["state"]) == ("700.00", "confirmed")
    assert [each["reason"] for each in await opened.events("receivable.diluted.v1")] == [
        "credit note CN-1",
        "credit note CN-3",
        "credit note CN-4",
    ]


async def test_r6_a_note_on_what_is_assigned_withdraws_it_and_on_what_is_financed_lowers_it(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    held = opened.held(receivable(receivable_id))
    await opened.hear(held)
    await noted(opened)
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["state"] == "withdrawn"
    # The money went out all the same: the next note finds it financed.
    await opened.hear(disbursed(held.drawdown_id))
    assert await opened.state(receivable_id) == "financed"
    await noted(opened, replace(NOTE, number="CN-2"))
    assert (await opened.events("receivable.diluted.v1"))[-1]["financeable"]["amount"] == "800.00"
    assert await opened.state(receivable_id) == "financed"


async def test_r6_a_note_that_meets_an_assignment_under_way_withdraws_it(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    held = opened.held(receivable(receivable_id))
    async with opened.bench.database.transaction() as tx:
        await opened.handlers[DrawdownHeld](tx, [as_received(held)])
        # Whoever sends it is in no transaction of ours.
        coming = asyncio.create_task(noted(opened), context=Context())
        # The note has looked for an assignment, and waits for the receivable.
        await until_somebody_waits(tx)
    assert (await coming)["state"] == "applied"
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["state"] == "withdrawn"


def part(receivable_id: str, by: str = "100.00") -> dict[str, Any]:
    return {"receivable_id": receivable_id, "by": {"amount": by, "currency": "CNY"}}


async def until_somebody_waits(tx: Transaction) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
    async with asyncio.timeout(20):
        while not await tx.pg.fetchval(waiting):
            await asyncio.sleep(0.02)


async def test_what_nothing_is_left_of_is_settled(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    await noted(opened, replace(NOTE, gross="1000.00", payable="1000.00"))
    assert await opened.state(receivable_id) == "settled"
    assert [each["subject"] for each in await opened.events("receivable.settled.v1")] == [receivable_id]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"cites": ()}, ["cites_no_invoice"]),
        ({"cites": (("INV-1", None), ("INV-2", None))}, ["invoice_not_known"]),
        ({"cites": (("INV-9", None),)}, ["invoice_not_known"]),
        ({"cites": (("INV-1", date(2026, 9, 2)),)}, ["invoice_date_differs"]),
        ({"gross": "1000.01", "payable": "1000.01"}, ["more_than_is_open"]),
        ({"currency": "EUR"}, ["other_currency"]),
        ({"buyer": SECOND}, ["other_obligor"]),
    ],
)
async def test_r25_a_note_that_matches_nothing_waits_for_a_person_who_says_which(
    opened: Desk, change: dict[str, Any], reasons: list[str]
) -> None:
    receivable_id = await opened.confirmed()
    found = await noted(opened, replace(NOTE, **change))
    assert (found["state"], found["parts"], found["reasons"]) == ("referred", [], reasons)
    assert (await opened.read(f"/receivables/{receivable_id}"))["financeable"]["amount"] == "1000.00"
    waiting = (await opened.read("/credit-notes?state=referred"))["items"]
    assert [each["credit_note_id"] for each in waiting] == [found["credit_note_id"]]
    path = f"/credit-notes/{found['credit_note_id']}/decisions"
    which = {"parts": [{"receivable_id": receivable_id, "by": found["amount"]}], "reason": "the seller says so"}
    async with opened.bench.caller("bank_checker") as checker, opened.sme(SUPPLIER) as seller:
        assert (await seller.post(path, json=which, headers=key())).status_code == 403
        unknown = await checker.post(path, json={**which, "parts": [part(new_id())]}, headers=key())
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_receivable")
        assert (await checker.post(path, json=which)).json()["code"] == "missing_idempotency_key"
        once = key()
        decided, repeated = [await checker.post(path, json=which, headers=once) for _ in range(2)]
        if reasons[0] in {"more_than_is_open", "other_currency", "other_obligor"}:
            assert (decided.status_code, decided.json()["code"]) == (409, "credit_note_not_applicable")
            assert decided.json()["reasons"] == reasons
            decided = await checker.post(path, json={"parts": [], "reason": "not ours"}, headers=key())
            assert decided.json()["state"] == "rejected"
            # What was rejected keeps no number: the seller sends it again, right.
            assert (await noted(opened))["state"] == "applied"
            return
        assert (decided.status_code, decided.json()["state"]) == (201, "applied")
        assert repeated.json() == decided.json()
        late = await checker.post(path, json=which, headers=key())
        assert (late.status_code, late.json()["code"]) == (409, "not_possible_now")
    assert (await opened.read(f"/receivables/{receivable_id}"))["financeable"]["amount"] == "900.00"
    (said,) = await opened.events("credit_note.decided.v1")
    assert (said["state"], said["parts"], said["left"]["amount"]) == ("applied", [part(receivable_id)], "0.00")


BOTH = replace(NOTE, gross="1100.00", payable="1100.00", cites=(("INV-1", date(2026, 9, 1)), ("INV-2", None)))


async def two_confirmed(opened: Desk) -> tuple[str, str]:
    other = replace(INVOICE, number="INV-2", gross="600.00", prepaid="0.00", payable="600.00")
    return await opened.confirmed(), await opened.confirmed(other)


async def open_of(opened: Desk, *receivable_ids: str) -> list[str]:
    return [(await opened.read(f"/receivables/{each}"))["financeable"]["amount"] for each in receivable_ids]


async def test_r6_a_note_on_several_invoices_lowers_them_in_the_order_of_citing_before_financing(opened: Desk) -> None:
    first, second = await two_confirmed(opened)
    found = await noted(opened, BOTH)
    assert (found["state"], found["parts"]) == ("applied", [part(first, "1000.00"), part(second)])
    assert await open_of(opened, first, second) == ["0.00", "500.00"]
    assert [await opened.state(each) for each in (first, second)] == ["settled", "confirmed"]
    read = await opened.read(f"/credit-notes/{found['credit_note_id']}")
    assert (read["parts"], read["state"]) == (found["parts"], "applied")
    again = await opened.upload(ubl(BOTH, root="CreditNote"))
    assert again.json()["code"] == "duplicate_credit_note"


async def test_r6_a_note_on_several_invoices_of_one_loan_lowers_them_after_financing(opened: Desk) -> None:
    first, second = await two_confirmed(opened)
    held = opened.held(receivable(first), receivable(second, "600.00"))
    await opened.hear(held)
    await opened.hear(disbursed(held.drawdown_id))
    found = await noted(opened, BOTH)
    assert found["parts"] == [part(first, "1000.00"), part(second)]
    assert [await opened.state(each) for each in (first, second)] == ["financed", "financed"]
    said = await opened.events("receivable.diluted.v1")
    assert [(each["subject"], each["financeable"]["amount"]) for each in said] == [(first, "0.00"), (second, "500.00")]


async def test_r6_a_person_says_whose_base_falls_where_a_loan_stands_on_one_of_them_only(opened: Desk) -> None:
    first, second = await two_confirmed(opened)
    held = opened.held(receivable(first))
    await opened.hear(held)
    await opened.hear(disbursed(held.drawdown_id))
    found = await noted(opened, BOTH)
    assert (found["state"], found["reasons"]) == ("referred", ["invoices_financed_apart"])
    path = f"/credit-notes/{found['credit_note_id']}/decisions"
    meant = (await opened.read(f"/credit-notes/{found['credit_note_id']}"))["candidates"]
    assert [(each["receivable_id"], each["financeable"]["amount"], each["state"]) for each in meant] == [
        (first, "1000.00", "financed"),
        (second, "600.00", "confirmed"),
    ]
    assert [each["in_the_way"] for each in meant] == [[], []]
    async with opened.sme(SUPPLIER) as seller:
        own = (await seller.get(f"/credit-notes/{found['credit_note_id']}")).json()
    assert "candidates" not in own
    async with opened.bench.caller("bank_checker") as checker:

        async def decide(*parts: dict[str, Any]) -> Any:
            return await checker.post(path, json={"parts": list(parts), "reason": "as invoiced"}, headers=key())

        for parts, reasons in (
            ([part(first, "600.00"), part(second, "600.01")], ["more_than_is_open", "more_than_the_note"]),
            ([part(first, "600.00"), part(second, "500.01")], ["more_than_the_note"]),
            ([part(first, "0.00")], ["nothing_taken_off"]),
        ):
            refused = await decide(*parts)
            assert (refused.status_code, refused.json()["code"]) == (409, "credit_note_not_applicable")
            assert refused.json()["reasons"] == reasons
        twice = await decide(part(first), part(first))
        assert twice.status_code == 422
        assert await open_of(opened, first, second) == ["1000.00", "600.00"]
        decided = await decide(part(second, "600.00"), part(first, "400.00"))
    assert (decided.status_code, decided.json()["left"]["amount"]) == (201, "100.00")
    assert await open_of(opened, first, second) == ["600.00", "0.00"]
    (said,) = await opened.events("credit_note.decided.v1")
    assert (said["parts"], said["left"]["amount"]) == ([part(second, "600.00"), part(first, "400.00")], "100.00")


async def test_a_note_that_cites_several_waits_until_the_last_of_them_is_there(opened: Desk) -> None:
    found = await noted(opened, BOTH)
    first = await opened.taken(INVOICE)
    await place_waiting(opened.bench.database)
    assert await open_of(opened, first) == ["1000.00"]
    second = await opened.taken(replace(INVOICE, number="INV-2", gross="600.00", prepaid="0.00", payable="600.00"))
    await place_waiting(opened.bench.database)
    assert await open_of(opened, first, second) == ["0.00", "500.00"]
    assert (await opened.read(f"/credit-notes/{found['credit_note_id']}"))["state"] == "applied"


async def test_a_note_that_came_before_its_invoice_is_placed_when_that_is_there(opened: Desk) -> None:
    found = await noted(opened)
    await place_waiting(opened.bench.database)
    assert (await opened.read(f"/credit-notes/{found['credit_note_id']}"))["reasons"] == ["invoice_not_known"]
    receivable_id = await opened.taken(INVOICE)
    await place_waiting(opened.bench.database)
    placed = await opened.read(f"/credit-notes/{found['credit_note_id']}")
    assert (placed["state"], placed["parts"], placed["reasons"]) == ("applied", [part(receivable_id)], [])
    assert (await opened.read(f"/receivables/{receivable_id}"))["financeable"]["amount"] == "900.00"
    await place_waiting(opened.bench.database)
    assert len(await opened.events("receivable.diluted.v1")) == 1


async def test_a_note_told_by_hand_before_is_not_taken_off_twice(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    by_hand = {"amount": {"amount": "100.00", "currency": "CNY"}, "reason": "returned goods", "reference": "cn 1"}
    async with opened.maker() as maker:
        told = await maker.post(f"/receivables/{receivable_id}/dilutions", json=by_hand, headers=key())
    assert told.status_code == 201
    assert (await noted(opened))["reasons"] == ["noted_before"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payable": "0.00"}, "nothing_payable"),
        ({"seller": Firm("Nobody we know")}, "unknown_party"),
        ({"buyer": SUPPLIER}, "seller_is_obligor"),
        ({"cites": (("x" * 201, None),)}, "unreadable_document"),
    ],
)
async def test_a_note_that_says_something_impossible_is_refused_and_nothing_is_kept(
    opened: Desk, change: dict[str, Any], code: str
) -> None:
    await opened.confirmed()
    answer = await opened.upload(ubl(replace(NOTE, **change), root="CreditNote"))
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert (await opened.read("/credit-notes"))["items"] == []
    broken = {**_json(opened, "CN-9", "INV-1"), "preceding_invoices": ["INV-1"]}
    answer = await opened.upload(json.dumps(broken).encode(), JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_document")


async def test_r23_a_party_brings_and_reads_only_its_own_notes(opened: Desk) -> None:
    await opened.confirmed()
    found = await noted(opened)
    async with opened.sme(SECOND) as stranger, opened.sme(SUPPLIER) as seller, opened.maker() as obligor:
        answer = await stranger.post(
            "/documents",
            content=ubl(replace(NOTE, number="CN-7"), root="CreditNote"),
            headers={"content-type": "text/xml"},
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_party")
        path = f"/credit-notes/{found['credit_note_id']}"
        assert (await stranger.get(path)).status_code == 403
        assert (await stranger.get("/credit-notes")).json()["items"] == []
        assert (await stranger.get(f"/credit-notes/{new_id()}")).status_code == 404
        original = await stranger.get(f"{path}/original")
        assert (original.status_code, original.json()["code"]) == (403, "foreign_party")
        for party in (seller, obligor):
            assert (await party.get(path)).json()["state"] == "applied"
            assert (await party.get(f"{path}/original")).content == ubl(NOTE, root="CreditNote")
            assert len((await party.get("/credit-notes")).json()["items"]) == 1


def _json(opened: Desk, number: str, cited: str) -> dict[str, Any]:
    return {
        "seller_id": opened.id(SUPPLIER),
        "obligor_id": opened.id(ANCHOR),
        "number": number,
        "document_type": "381",
        "issue_date": "2026-10-01",
        "payable": {"amount": "100.00", "currency": "CNY"},
        "preceding_invoices": [{"number": cited, "issue_date": "2026-09-01"}],
    }
