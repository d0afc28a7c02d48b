"""R8: an invoice that may stand already in another guise waits for a person, who is told which one it may be."""

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

from shared.values.ids import new_id
from tests.integration.receivables.desk import ANCHOR, CSV, JSON, SECOND, SUPPLIER, XML, Desk, desk, enterprise
from tests.support.einvoices import Sample, cii, ubl

INVOICE = Sample(SUPPLIER, ANCHOR, number="INV-1001")


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


def as_json(opened: Desk, number: str, *, seller_id: str | None = None, issued: str = "2026-09-01") -> bytes:
    return json.dumps(
        {
            "seller_id": seller_id or opened.id(SUPPLIER),
            "obligor_id": opened.id(ANCHOR),
            "number": number,
            "issue_date": issued,
            "due_date": "2026-12-01",
            "payable": {"amount": "1000.00", "currency": "CNY"},
        }
    ).encode()


async def near(opened: Desk, receivable_id: str) -> list[tuple[str, str]]:
    found = await opened.read(f"/receivables/{receivable_id}")
    return [(each["receivable_id"], each["guise"]) for each in found["near_duplicates"]]


async def test_r8_one_sale_in_other_formats_under_numbers_that_look_alike_waits_and_names_the_first(
    opened: Desk,
) -> None:
    first = await opened.taken(INVOICE)
    another_format = await opened.upload(cii(replace(INVOICE, number="1001/A")), XML)
    by_hand = await opened.upload(as_json(opened, "INV-1OO1", issued="2026-09-03"), JSON)
    row = (
        "seller_id,obligor_id,number,issue_date,due_date,amount,currency\n"
        f"{opened.id(SUPPLIER)},{opened.id(ANCHOR)},RE 1001,2026-09-01,2026-12-01,1000.00,CNY\n"
    )
    table = await opened.upload(row.encode(), CSV)
    assert [answer.json()["state"] for answer in (another_format, by_hand)] == ["referred", "referred"]
    assert another_format.json()["reasons"] == ["near_duplicate"]
    assert (first, "number_looks_alike") in await near(opened, another_format.json()["receivable_id"])
    assert (first, "number_looks_alike") in await near(opened, by_hand.json()["receivable_id"])
    assert table.json()["items"][0]["state"] == "referred", table.text
    assert len(await near(opened, table.json()["items"][0]["receivable_id"])) == 2
    said = await opened.events("receivable.registered.v1")
    assert [each["near_duplicates"] for each in said][:2] == [[], [first]]


async def test_r8_a_person_accepts_what_is_another_sale_and_it_is_confirmed_like_any_other(opened: Desk) -> None:
    await opened.taken(INVOICE)
    second = (await opened.upload(ubl(replace(INVOICE, number="X-7")))).json()["receivable_id"]
    async with opened.maker() as maker, opened.bench.caller("bank_checker") as checker:
        body = {"receivable_ids": [second], "undertaking": "none"}
        assert (await maker.post("/confirmations", json=body)).json()["code"] == "not_possible_now"
        decision = {"decision": "accept", "reason": "two deliveries of one day"}
        assert (await checker.post(f"/receivables/{second}/referral-decisions", json=decision)).status_code == 200
        assert (await maker.post("/confirmations", json=body)).status_code == 201


async def test_r8_a_firm_registered_twice_sells_a_claim_once(opened: Desk) -> None:
    twin = new_id()
    await opened.hear(enterprise(twin, "Bolt Supplier (branch)", {"vat": SUPPLIER.vat}))
    first = await opened.upload(as_json(opened, "INV-1001"), JSON)
    again = await opened.upload(as_json(opened, "INV-1001", seller_id=twin), JSON)
    assert (first.json()["state"], again.json()["state"]) == ("validated", "referred"), again.text
    assert await near(opened, again.json()["receivable_id"]) == [(first.json()["receivable_id"], "number_looks_alike")]


async def test_r23_the_seller_is_told_that_it_waits_and_never_which_other_claim_it_may_be(opened: Desk) -> None:
    await opened.taken(INVOICE)
    second = (await opened.upload(as_json(opened, "1001"), JSON)).json()["receivable_id"]
    async with opened.sme(SUPPLIER) as seller, opened.maker() as obligor:
        for client in (seller, obligor):
            shown = (await client.get(f"/receivables/{second}")).json()
            assert (shown["state"], shown["reasons"]) == ("referred", ["near_duplicate"])
            assert "near_duplicates" not in shown


async def test_r8_of_two_taken_in_at_once_one_waits(opened: Desk) -> None:
    """Each transaction could miss the other: the lock of their seller and amount lets one see the other."""

    async def take(number: str, issued: str) -> Any:
        return (await opened.upload(as_json(opened, number, issued=issued), JSON)).json()["state"]

    for month in range(1, 7):
        numbers = [f"A-{month}00", f"B-{month}00", f"C-{month}77-X"]
        tasks = [asyncio.create_task(take(each, f"2026-{month:02d}-01"), context=Context()) for each in numbers]
        assert sorted([await task for task in tasks]) == ["referred", "referred", "validated"]


async def test_r8_of_two_that_two_registrations_of_one_firm_send_at_once_one_waits(opened: Desk) -> None:
    twin = new_id()
    await opened.hear(enterprise(twin, "Bolt Supplier (branch)", {"vat": SUPPLIER.vat}))

    async def take(number: str, issued: str, seller_id: str) -> Any:
        data = as_json(opened, number, issued=issued, seller_id=seller_id)
        return (await opened.upload(data, JSON)).json()["state"]

    for month in range(1, 7):
        sellers = (opened.id(SUPPLIER), twin)
        sent = [take(f"A-{month}00", f"2026-{month:02d}-01", seller) for seller in sellers]
        tasks = [asyncio.create_task(each, context=Context()) for each in sent]
        assert sorted([await task for task in tasks]) == ["referred", "validated"]


async def test_r8_honest_monthly_invoices_and_a_split_sale_wait_for_nobody(opened: Desk) -> None:
    numbers = [(f"RENT-{month:02d}", date(2026, month, 1)) for month in range(1, 10)]
    numbers += [(f"INV-{number}", date(2026, 9, 1)) for number in range(2001, 2007)]
    fee = [(f"{month:02d}/2026", date(2026, month, 15)) for month in range(1, 10)]
    header = "seller_id,obligor_id,number,issue_date,due_date,amount,currency\n"
    rows = [
        f"{opened.id(SUPPLIER)},{opened.id(obligor)},{number},{day},2026-12-01,1000.00,CNY\n"
        for obligor, listed in ((ANCHOR, numbers), (SECOND, fee))
        for number, day in listed
    ]
    items = (await opened.upload((header + "".join(rows)).encode(), CSV)).json()["items"]
    waiting = [each for each in items if each.get("state") != "validated"]
    # The first of the split sale is of another form than the rent of the same day and amount: a person looks once.
    assert [each["row"] for each in waiting] == [10], waiting
