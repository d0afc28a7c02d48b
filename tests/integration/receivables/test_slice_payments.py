"""Slices on which no loan stands are paid to their holders, and count no more (R13)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.receivables.desk import (
    ANCHOR,
    FACTOR,
    SECOND,
    SUPPLIER,
    Desk,
    desk,
    disbursed,
    key,
    piece,
)
from tests.support.einvoices import Firm, Sample

PAID = {"paid_date": "2026-09-20", "reference": "transfer 4711"}


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def split(opened: Desk) -> tuple[dict[str, Any], str, str]:
    """Issue a voucher and pass 300.00 of it on; return it with the second firm's slice and what the supplier keeps."""
    issued = await opened.voucher()
    root, (first,) = issued["root_id"], issued["slices"]
    body = {
        "slice_id": first["slice_id"],
        "amount": {"amount": "300.00", "currency": "CNY"},
        "transferee_id": opened.id(SECOND),
        "trade_reference": "contract 7",
    }
    async with opened.sme(SUPPLIER) as supplier, opened.sme(SECOND) as second:
        offered = (await supplier.post(f"/vouchers/{root}/transfers", json=body, headers=key())).json()
        path = f"/vouchers/{root}/transfers/{offered['transfer_id']}/accept"
        assert (await second.post(path, headers=key())).status_code == 200
    slices = {each["holder_id"]: each["slice_id"] for each in (await opened.read(f"/vouchers/{root}"))["slices"]}
    return issued, slices[opened.id(SECOND)], slices[opened.id(SUPPLIER)]


async def paid(client: httpx.AsyncClient, root: str, slice_id: str, **changes: str) -> httpx.Response:
    async with client:
        return await client.post(
            f"/vouchers/{root}/slices/{slice_id}/payments", json={**PAID, **changes}, headers=key()
        )


async def test_r13_a_holder_says_that_it_was_paid_and_its_slice_counts_no_more(opened: Desk) -> None:
    issued, theirs, _ = await split(opened)
    root, receivable_id = issued["root_id"], issued["receivable_id"]
    before = await opened.read(f"/receivables/{receivable_id}")
    answer = await paid(opened.sme(SECOND), root, theirs)
    assert (answer.status_code, answer.json()["state"], answer.json()["paid"]["amount"]) == (201, "paid", "300.00")
    states = {each["slice_id"]: each["state"] for each in (await opened.read(f"/vouchers/{root}"))["slices"]}
    assert states[theirs] == "paid"
    after = await opened.read(f"/receivables/{receivable_id}")
    assert after["paid"]["amount"] == "300.00"
    assert float(before["open"]["amount"]) - float(after["open"]["amount"]) == 300
    assert after["state"] == "confirmed"
    assert [each["slice_id"] for each in await opened.events("voucher.settled.v1")] == [theirs]
    (told,) = await opened.events("receivable.paid.v1")
    assert (told["payee"], told["by"]["amount"]) == ("holder", "300.00")
    # It is paid once, and what is paid does not move.
    again = await paid(opened.sme(SECOND), root, theirs, reference="transfer 4712")
    assert (again.status_code, again.json()["code"]) == (409, "not_possible_now")


async def test_r13_the_last_slice_that_is_paid_settles_the_root_and_frees_the_issuance_limit(opened: Desk) -> None:
    issued, theirs, ours = await split(opened)
    root = issued["root_id"]
    other = await opened.confirmed(replace(Sample(SUPPLIER, ANCHOR), number="INV-2", issue_date=date(2026, 9, 2)))
    body = {"programme_id": opened.programme_id, "receivable_id": other}
    async with opened.maker() as maker:
        full = await maker.post("/vouchers", json=body, headers=key())
    assert full.json()["code"] == "issuance_limit_exceeded"
    assert (await paid(opened.sme(SECOND), root, theirs)).status_code == 201
    twice = await paid(opened.bench.caller("bank_maker"), root, ours)
    assert (twice.status_code, twice.json()["code"]) == (409, "duplicate_payment")
    assert (await paid(opened.bench.caller("bank_maker"), root, ours, reference="transfer 4712")).status_code == 201
    assert await opened.state(issued["receivable_id"]) == "settled"
    assert [each["subject"] for each in await opened.events("receivable.settled.v1")] == [issued["receivable_id"]]
    async with opened.maker() as maker:
        assert (await maker.post("/vouchers", json=body, headers=key())).status_code == 201


@pytest.mark.parametrize(("who", "code"), [(FACTOR, "foreign_party"), (SUPPLIER, "foreign_party")])
async def test_r23_nobody_but_the_holder_and_the_bank_says_that_a_slice_is_paid(
    opened: Desk, who: Firm, code: str
) -> None:
    issued, theirs, _ = await split(opened)
    answer = await paid(opened.sme(who), issued["root_id"], theirs)
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    obligor = await paid(opened.maker(ANCHOR), issued["root_id"], theirs)
    assert obligor.status_code == 403


async def test_r13_a_slice_that_is_financed_is_paid_by_its_loans_end_alone(opened: Desk) -> None:
    issued, theirs, _ = await split(opened)
    held = opened.held(piece(theirs, "300.00"), by=SECOND)
    await opened.hear(held)
    await opened.hear(disbursed(held.drawdown_id))
    slices = {
        each["slice_id"]: each["state"] for each in (await opened.read(f"/vouchers/{issued['root_id']}"))["slices"]
    }
    assert slices[theirs] == "financed"
    answer = await paid(opened.sme(SECOND), issued["root_id"], theirs)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_possible_now")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"paid_date": "2026-08-31"}, 422, "invalid_paid_date"),
        ({"paid_date": "2099-01-01"}, 422, "invalid_paid_date"),
        ({"reference": ""}, 422, "invalid_request"),
    ],
)
async def test_a_payment_that_cannot_have_been_is_refused(
    opened: Desk, changes: dict[str, str], status: int, code: str
) -> None:
    issued, theirs, _ = await split(opened)
    answer = await paid(opened.sme(SECOND), issued["root_id"], theirs, **changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    unknown = await paid(opened.sme(SECOND), issued["root_id"], issued["receivable_id"])
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_voucher")
