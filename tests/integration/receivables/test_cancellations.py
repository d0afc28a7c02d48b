"""A receivable is taken back by its seller: freely at first, with the obligor's assent once confirmed (DOMAIN §2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from shared.events.settlement import BusinessDayOpened
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


async def test_r8_what_was_paid_in_part_or_both_agreed_on_is_not_rejected_and_its_number_not_free_again(
    opened: Desk,
) -> None:
    await opened.hear(BusinessDayOpened(open_date=date(2026, 9, 2)))
    paid = await opened.taken()
    agreed = await opened.taken(
        Sample(SUPPLIER, ANCHOR, number="Z-77", gross="300.00", prepaid="0.00", payable="300.00")
    )
    async with opened.maker() as obligor, opened.sme(SUPPLIER) as seller:
        payment = {"amount": cny("400.00").model_dump(), "paid_date": "2026-09-02", "reference": "P-1"}
        assert (await seller.post(f"/receivables/{paid}/payments", json=payment, headers=key())).status_code == 201
        for firm in (obligor, seller):
            assert (await firm.post(f"/receivables/{agreed}/acknowledgements")).status_code == 200
        for debt, stands in ((paid, "paid in part"), (agreed, "acknowledged")):
            refused = await obligor.post(f"/receivables/{debt}/rejections", json=WHY)
            assert (refused.status_code, refused.json()["state"]) == (409, stands)
        free = await opened.taken(
            Sample(SUPPLIER, ANCHOR, number="Y-1", gross="90.00", prepaid="0.00", payable="90.00")
        )
        body = {"receivable_ids": [paid, agreed, free], "code": "other", **WHY}
        batch_id = (await obligor.post("/rejection-batches", json=body)).json()["batch_id"]
        items = (await obligor.get(f"/decision-batches/{batch_id}/items")).json()["items"]
    assert [(each["outcome"], each["code"]) for each in items] == [
        ("refused", "paid_in_part"),
        ("refused", "acknowledged"),
        ("rejected", None),
    ]
    assert (await opened.upload(ubl(Sample(SUPPLIER, ANCHOR)))).json()["code"] == "duplicate_document"


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


EVIDENCE = {
    "given_date": "2026-11-20",
    "signed_by": "Zhao, head of purchasing",
    "means": "courier",
    "proof": "SF1029384756",
    "proof_sha256": "ab" * 32,
}


async def test_r22_for_an_obligor_without_checkers_two_of_the_bank_take_its_documented_assent(opened: Desk) -> None:
    await opened.hear(BusinessDayOpened(open_date=date(2026, 11, 24)))
    receivable_id = await opened.confirmed()
    _, proposal = await asked(opened, receivable_id)
    path = f"/cancellations/{proposal}/assents"
    async with (
        opened.bench.caller("bank_maker", subject="li") as maker,
        opened.bench.caller("bank_checker", subject="wu") as checker,
        opened.sme(SUPPLIER) as seller,
        opened.checker() as obligor,
    ):
        (waiting,) = (await maker.get("/cancellations")).json()["items"]
        assert (waiting["approval_id"], waiting["receivable_id"]) == (proposal, receivable_id)
        assert (waiting["obligor_id"], waiting["open"]["amount"]) == (opened.id(ANCHOR), "1000.00")
        for client in (seller, obligor, checker):
            assert (await client.post(path, json=EVIDENCE, headers=key())).status_code == 403
        assert (await seller.get("/cancellations")).status_code == 403
        for changed, code in (
            ({"given_date": "2026-11-25"}, "invalid_assent_date"),
            ({"given_date": "2026-08-31"}, "invalid_assent_date"),
            ({"proof_sha256": "ab"}, "invalid_request"),
            ({"proof": ""}, "invalid_request"),
        ):
            refused = await maker.post(path, json={**EVIDENCE, **changed}, headers=key())
            assert (refused.status_code, refused.json()["code"]) == (422, code)
        unknown = await maker.post(f"/cancellations/{new_id()}/assents", json=EVIDENCE, headers=key())
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_approval")
        once = key()
        proposed, again = [await maker.post(path, json=EVIDENCE, headers=once) for _ in range(2)]
        assert (proposed.status_code, again.json()) == (201, proposed.json())
        assert (await maker.post(path, json=EVIDENCE, headers=key())).json()["code"] == "assent_waits"
        decision = f"/approvals/{proposed.json()['approval_id']}/approve"
        assert (await maker.post(decision)).json()["code"] == "own_proposal"
        assert (await obligor.post(decision)).json()["code"] == "unknown_approval"
        assert await opened.state(receivable_id) == "confirmed"
        assert (await checker.post(decision)).status_code == 200
        assert await opened.state(receivable_id) == "cancelled"
        assert (await obligor.get("/approvals")).json()["items"] == [], "what it was asked is answered"
        late = await obligor.post(f"/approvals/{proposal}/approve")
        assert (late.status_code, late.json()["code"]) == (409, "already_decided")
        assert (await maker.get("/cancellations")).json()["items"] == []
    assert [each["subject"] for each in await opened.events("receivable.cancelled.v1")] == [receivable_id]
    async with opened.bench.database.reader() as tx:
        (row,) = await tx.pg.fetch("SELECT actor, facts FROM audit WHERE action = 'assent.documented'")
    assert (row["actor"], json.loads(row["facts"])["proof"]) == ("wu", "SF1029384756")


async def test_an_obligor_that_answers_itself_meanwhile_is_the_one_that_counts(opened: Desk) -> None:
    await opened.hear(BusinessDayOpened(open_date=date(2026, 11, 24)))
    receivable_id = await opened.confirmed()
    _, proposal = await asked(opened, receivable_id)
    path = f"/cancellations/{proposal}/assents"
    async with (
        opened.bench.caller("bank_maker", subject="li") as maker,
        opened.bench.caller("bank_checker", subject="wu") as checker,
        opened.checker() as obligor,
    ):
        documented = (await maker.post(path, json=EVIDENCE, headers=key())).json()["approval_id"]
        declined = await obligor.post(f"/approvals/{proposal}/decline", json={"reason": "it is owed"})
        assert declined.status_code == 200, declined.text
        refused = await checker.post(f"/approvals/{documented}/approve")
        assert (refused.status_code, refused.json()["code"]) == (409, "already_decided")
        assert (await maker.post(path, json=EVIDENCE, headers=key())).json()["code"] == "already_decided"
    assert await opened.state(receivable_id) == "confirmed"


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
