"""Three-way match through the API: a stated fact of each invoice, told anew when order, delivery or invoice is new."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from shared.events.onboarding import ProgrammeSuspended
from shared.events.settlement import BusinessDayOpened
from shared.values.ids import new_id
from tests.integration.receivables import order_desk as at
from tests.integration.receivables.desk import ANCHOR, SECOND, SUPPLIER, Desk, desk, key, programme, receivable
from tests.support.einvoices import Sample, ubl


@pytest.fixture
async def here(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


async def _match(here: Desk, receivable_id: str) -> dict[str, Any]:
    return await here.read(f"/receivables/{receivable_id}/match")


async def _confirm(here: Desk, receivable_id: str) -> None:
    async with here.maker() as maker, here.checker() as checker:
        body = {"receivable_ids": [receivable_id], "undertaking": "none"}
        proposed = (await maker.post("/confirmations", json=body)).json()
        assert (await checker.post(f"/approvals/{proposed['approval_id']}/approve")).status_code == 200


async def test_an_invoice_matches_when_order_and_receipt_are_there_in_whatever_order_they_come(here: Desk) -> None:
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "60", "6"), ("2", "50", "8")))
    async with here.bench.caller("bank_maker") as bank:
        nothing = await bank.get(f"/receivables/{invoice_id}/match")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "no_match")
    await at.ordered(here)
    found = await _match(here, invoice_id)
    assert (found["status"], found["reasons"]) == ("partial", ["no_delivery_recorded"])
    await at.delivered(here, at.delivery(here, "R-1", ("1", "40")))
    found = await _match(here, invoice_id)
    assert [(each["status"], each["reasons"]) for each in found["lines"]] == [
        ("partial", ["delivered_in_part"]),
        ("unmatched", ["not_delivered"]),
    ]
    assert (found["status"], found["policy_version"]) == ("partial", "matching/2000-01")
    await at.delivered(here, at.delivery(here, "R-2", ("1", "20"), ("2", "50")))
    found = await _match(here, invoice_id)
    assert (found["status"], found["reasons"], found["is_financeable"]) == ("matched", [], True)
    said = await here.events("receivable.matched.v1")
    assert [(each["status"], each["matched_lines"]) for each in said] == [
        ("partial", 2),
        ("partial", 0),
        ("matched", 2),
    ]


async def test_what_the_buyer_received_counts_before_what_the_seller_says_that_it_sent(here: Desk) -> None:
    await at.ordered(here)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "100", "6")))
    await at.delivered(here, at.delivery(here, "D-1", ("1", "100"), kind="despatch"))
    assert (await _match(here, invoice_id))["status"] == "matched"
    await at.delivered(here, at.delivery(here, "R-1", ("1", "90")))
    assert (await _match(here, invoice_id))["lines"][0]["reasons"] == ["delivered_in_part"]


async def test_a_line_that_nobody_ordered_and_a_price_above_the_order_are_told_by_their_lines(here: Desk) -> None:
    await at.ordered(here)
    invoice_id = await at.invoiced(
        here, at.invoice(here, "INV-1", ("1", "10", "6.01"), ("9", "1", "5"), ("2", "5", "8"))
    )
    found = await _match(here, invoice_id)
    assert [each["reasons"] for each in found["lines"]] == [["price_above_order"], ["not_ordered"], []]
    assert found["status"] == "partial"


async def test_a_document_that_does_not_match_its_order_is_not_financed(here: Desk) -> None:
    await at.ordered(here)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "101", "6")))
    assert (await _match(here, invoice_id))["status"] == "unmatched"
    await _confirm(here, invoice_id)
    held = here.held(receivable(invoice_id, "606.00"))
    await here.hear(held)
    (refused,) = await here.events("assignment.refused.v1")
    assert refused["code"] == "document_unmatched"
    assert await here.state(invoice_id) == "confirmed"


async def test_two_invoices_share_an_order_and_a_rejected_one_takes_nothing_of_it(here: Desk) -> None:
    await at.ordered(here)
    first = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "100", "6")))
    second = await at.invoiced(here, at.invoice(here, "INV-2", ("1", "100", "6")))
    found = await _match(here, second)
    assert (found["status"], found["reasons"]) == ("unmatched", ["amount_above_order", "no_delivery_recorded"])
    assert found["lines"][0]["reasons"] == ["quantity_above_order"]
    async with here.maker() as maker:
        assert (await maker.post(f"/receivables/{first}/rejections", json={"reason": "twice"})).status_code == 200
    assert (await _match(here, second))["status"] == "partial"


async def test_the_lines_of_a_ubl_invoice_are_matched_by_their_names(here: Desk) -> None:
    line = {"line_id": "1", "name": "PARTS", "quantity": "1", "unit": "c62", "price": "1200", "amount": "1200.00"}
    await at.ordered(here, lines=[line], amount={"amount": "1200.00", "currency": "CNY"})
    answer = await here.upload(ubl(Sample(SUPPLIER, ANCHOR, order="PO-1")))
    await at.delivered(here, at.delivery(here, "R-1", ("1", "1")))
    found = await _match(here, answer.json()["receivable_id"])
    assert (found["status"], found["lines"][0]["order_line"]) == ("matched", "1")


async def test_r23_each_side_speaks_for_itself_and_a_third_reads_no_match(here: Desk) -> None:
    await at.ordered(here)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "100", "6")))
    async with here.sme(SUPPLIER) as seller, here.sme(SECOND) as third:
        receipt = await seller.post("/deliveries", json=at.delivery(here, "R-1", ("1", "100")))
        assert (receipt.status_code, receipt.json()["code"]) == (403, "foreign_party")
        assert (await third.get(f"/receivables/{invoice_id}/match")).json()["code"] == "foreign_party"
        unknown = {**at.delivery(here, "D-1", ("1", "1"), kind="despatch"), "order_number": "PO-9"}
        assert (await seller.post("/deliveries", json=unknown)).json()["code"] == "order_not_known"


async def test_the_same_note_again_counts_once_and_other_words_are_refused(here: Desk) -> None:
    await at.ordered(here)
    for _ in range(2):
        answer = await at.delivered(here, at.delivery(here, "R-1", ("1", "60")))
        assert answer.status_code == 201
    assert len(answer.json()["deliveries"]) == 1
    other = await at.delivered(here, at.delivery(here, "R-1", ("1", "61")))
    assert (other.status_code, other.json()["code"]) == (409, "duplicate_delivery")


async def test_where_its_programme_says_so_an_invoice_that_does_not_match_waits_for_a_person(here: Desk) -> None:
    strict = programme(new_id(), here.id(ANCHOR))
    strict = strict.model_copy(update={"terms": strict.terms.model_copy(update={"matching_policy": "matching_strict"})})
    await here.hear(ProgrammeSuspended(programme_id=here.programme_id, reason="another comes"), strict)
    await at.ordered(here)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("9", "100", "6")))
    found = await here.read(f"/receivables/{invoice_id}")
    assert (found["state"], found["reasons"]) == ("referred", ["unmatched_with_order"])
    (registered,) = await here.events("receivable.registered.v1")
    assert (registered["state"], registered["reasons"]) == ("referred", ["unmatched_with_order"])
    # What matches in part waits for nobody, but only what matches whole is financed.
    other_id = await at.invoiced(here, at.invoice(here, "AB-44", ("1", "50", "6")))
    assert (await here.read(f"/receivables/{other_id}"))["state"] == "validated"
    assert not (await _match(here, other_id))["is_financeable"]
    order = [each["type"] for each in await here.events() if each["subject"] == other_id]
    assert order == ["receivable.registered.v1", "receivable.matched.v1"]


async def test_the_bank_flow_that_paid_is_part_of_the_match_with_its_reasons(here: Desk) -> None:
    await at.ordered(here)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "100", "6")))
    found = (await _match(here, invoice_id))["payment"]
    assert (found["status"], found["reasons"], found["payments"]) == ("unmatched", ["not_paid"], [])
    await here.hear(BusinessDayOpened(open_date=date(2027, 2, 1)))
    async with here.sme(SUPPLIER) as seller:
        for reference, day, amount in (("T-1", "2026-11-21", "200.00"), ("T-2", "2027-01-31", "400.00")):
            body = {"reference": reference, "paid_date": day, "amount": {"amount": amount, "currency": "CNY"}}
            answer = await seller.post(f"/receivables/{invoice_id}/payments", json=body, headers=key())
            assert answer.status_code == 201, answer.text
            found = (await _match(here, invoice_id))["payment"]
            if reference == "T-1":
                assert (found["status"], found["reasons"]) == ("partial", ["paid_in_part", "overdue"])
    assert (found["status"], found["reasons"]) == ("matched", ["paid_late"])
    assert [each["reference"] for each in found["payments"]] == ["T-1", "T-2"]
