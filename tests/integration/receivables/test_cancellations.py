"""A receivable is taken back by its seller: freely at first, with the obligor's assent once confirmed (DOMAIN §2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.values.ids import new_id
from tests.integration.receivables import order_desk as at
from tests.integration.receivables.desk import (
    ANCHOR,
    JSON,
    SECOND,
    SUPPLIER,
    Desk,
    cny,
    desk,
    disbursed,
    key,
    receivable,
)
from tests.support.einvoices import Sample, ubl

WHY = {"reason": "sent twice by mistake"}


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def asked(opened: Desk, receivable_id: str) -> tuple[int, str]:
    """Ask as its seller; return the status with the code, or the state."""
    async with opened.sme(SUPPLIER) as seller:
        answer = await seller.post(f"/receivables/{receivable_id}/cancellations", json=WHY)
    said = answer.json()
    return answer.status_code, said.get("code") or said["approval_id"] or said["state"]


async def test_r8_before_it_is_confirmed_its_seller_takes_it_back_and_its_number_stays_guarded(opened: Desk) -> None:
    receivable_id = await opened.taken()
    path = f"/receivables/{receivable_id}/cancellations"
    async with opened.maker() as obligor, opened.sme(SECOND) as stranger, opened.bench.caller("bank_maker") as bank:
        assert (await obligor.post(path, json=WHY)).json()["code"] == "foreign_party"
        assert (await stranger.post(path, json=WHY)).json()["code"] == "foreign_party"
        assert (await bank.post(path, json=WHY)).status_code == 403
    async with opened.sme(SUPPLIER) as seller:
        assert (await seller.post(path, json={"reason": ""})).status_code == 422
        assert (await seller.post(f"/receivables/{new_id()}/cancellations", json=WHY)).status_code == 404
    assert await asked(opened, receivable_id) == (200, "cancelled")
    assert await asked(opened, receivable_id) == (200, "cancelled")
    assert [each["subject"] for each in await opened.events("receivable.cancelled.v1")] == [receivable_id]
    again = await opened.upload(ubl(Sample(SUPPLIER, ANCHOR)))
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_document")
    async with opened.maker() as maker:
        body = {"receivable_ids": [receivable_id], "undertaking": "none"}
        assert (await maker.post("/confirmations", json=body)).json()["code"] == "not_possible_now"
    held = opened.held(receivable(receivable_id))
    await opened.hear(held)
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["code"] == "document_not_free"


async def test_once_confirmed_its_obligor_assents_and_nobody_else(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    status, proposal = await asked(opened, receivable_id)
    assert (status, await opened.state(receivable_id)) == (200, "confirmed")
    # Asked again, it is the same proposal.
    assert await asked(opened, receivable_id) == (200, proposal)
    path = f"/approvals/{proposal}/approve"
    async with (
        opened.checker(SECOND) as stranger,
        opened.bench.caller("bank_checker") as bank,
        opened.checker() as obligor,
    ):
        for other in (stranger, bank):
            assert (await other.post(path)).json()["code"] == "unknown_approval"
        waiting = (await obligor.get("/approvals")).json()["items"]
        assert [(each["kind"], each["content"]["number"]) for each in waiting] == [("cancellation", "INV-1")]
        assert (await obligor.post(path)).status_code == 200
        assert (await obligor.post(path)).json()["code"] == "already_decided"
    assert await opened.state(receivable_id) == "cancelled"


async def test_what_is_assigned_financed_vouchered_or_paid_in_part_is_never_taken_back(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    _, proposal = await asked(opened, receivable_id)
    held = opened.held(receivable(receivable_id))
    await opened.hear(held)
    async with opened.checker() as obligor:
        late = await obligor.post(f"/approvals/{proposal}/approve")
    assert (late.status_code, late.json()["code"], late.json()["state"]) == (409, "not_possible_now", "assigned")
    assert await asked(opened, receivable_id) == (409, "not_possible_now")
    await opened.hear(disbursed(held.drawdown_id))
    assert await asked(opened, receivable_id) == (409, "not_possible_now")
    small = Sample(SUPPLIER, ANCHOR, number="V-77", gross="600.00", prepaid="0.00", payable="600.00")
    assert await asked(opened, (await opened.voucher(small))["receivable_id"]) == (409, "not_possible_now")
    paid = await opened.taken(Sample(SUPPLIER, ANCHOR, number="P-55", gross="700.00", prepaid="0.00", payable="700.00"))
    body = {"amount": cny("1.00").model_dump(), "paid_date": "2026-09-02", "reference": "T-1"}
    async with opened.sme(SUPPLIER) as seller:
        assert (await seller.post(f"/receivables/{paid}/payments", json=body, headers=key())).status_code == 201
    assert await asked(opened, paid) == (409, "not_possible_now")


async def test_a_cancelled_invoice_gives_its_order_back_what_it_took(opened: Desk) -> None:
    order_id = await at.registered(opened)
    await at.confirmed(opened, order_id)
    answer = await opened.upload(json.dumps(at.invoice(opened, "INV-1", ("1", "100", "6"))).encode(), JSON)
    receivable_id = answer.json()["receivable_id"]
    async with opened.maker() as maker, opened.checker() as checker:
        body = {"receivable_ids": [receivable_id], "undertaking": "none"}
        proposed = (await maker.post("/confirmations", json=body)).json()["approval_id"]
        assert (await checker.post(f"/approvals/{proposed}/approve")).status_code == 200
        assert (await opened.read(f"/orders/{order_id}"))["open"]["amount"] == "400.00"
        _, proposal = await asked(opened, receivable_id)
        assert (await checker.post(f"/approvals/{proposal}/approve")).status_code == 200
    found = await opened.read(f"/orders/{order_id}")
    assert (found["open"]["amount"], found["invoices"]) == ("1000.00", [])
    (said,) = await opened.events("order.reopened.v1")
    assert (said["subject"], said["by"]["amount"], said["open"]["amount"]) == (order_id, "600.00", "1000.00")
