"""Orders: who may say what, one order a number, lent on once, and what an invoice makes of them (DOMAIN §2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.events.credit import DrawdownReleased
from shared.events.receivables import Document
from shared.messaging.applying import Outcome
from tests.integration.receivables import order_desk as at
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
    receivable,
)
from tests.support.einvoices import Sample

XML = {"content-type": "application/xml"}


@pytest.fixture
async def here(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        yield made


def on_order(order_id: str, amount: str = "1000.00") -> Document:
    return Document(kind="order", document_id=order_id, amount=cny(amount))


async def lent(here: Desk, order_id: str, amount: str = "1000.00") -> str:
    """Assign an order to a drawdown whose money went out; return the drawdown's id."""
    held = here.held(on_order(order_id, amount))
    await here.hear(held, disbursed(held.drawdown_id))
    assert (await here.read(f"/orders/{order_id}"))["state"] == "financed"
    return held.drawdown_id


async def confirm_invoices(here: Desk, *receivable_ids: str) -> None:
    async with here.maker() as maker, here.checker() as checker:
        body = {"receivable_ids": list(receivable_ids), "undertaking": "none"}
        proposed = await maker.post("/confirmations", json=body)
        assert proposed.status_code == 201, proposed.text
        approved = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
    assert approved.status_code == 200, approved.text


async def test_the_same_words_again_are_the_same_order_and_other_words_are_refused(here: Desk) -> None:
    first = await at.registered(here)
    assert await at.registered(here, at.order(here, number="po 1")) == first
    async with here.sme(SUPPLIER) as sme:
        other = await sme.post("/orders", json=at.order(here, yuan="1001.00"))
    assert (other.status_code, other.json()["code"], other.json()["order_id"]) == (409, "duplicate_order", first)
    assert len(await here.events("order.registered.v1")) == 1


async def test_r23_a_third_firm_neither_registers_nor_reads_an_order(here: Desk) -> None:
    order_id = await at.ordered(here)
    async with here.sme(SECOND) as third:
        assert (await third.post("/orders", json=at.order(here, number="X"))).json()["code"] == "foreign_party"
        assert (await third.get(f"/orders/{order_id}")).json()["code"] == "foreign_party"
        assert (await third.get("/orders")).json()["items"] == []
    async with here.sme(SUPPLIER) as seller, here.maker() as buyer:
        for side in (seller, buyer):
            assert [each["order_id"] for each in (await side.get("/orders")).json()["items"]] == [order_id]
    await lent(here, order_id)
    async with here.sme(SUPPLIER) as seller, here.maker() as buyer:
        seen = [(await side.get(f"/orders/{order_id}")).json() for side in (seller, buyer)]
    assert [each["state"] for each in seen] == ["financed", "assigned"]
    assert seen[0]["assigned_to"] is not None
    assert seen[1]["assigned_to"] is None


async def test_only_two_persons_of_who_stands_behind_an_order_confirm_it(here: Desk) -> None:
    order_id = await at.registered(here)
    async with here.maker(SUPPLIER) as seller:
        answer = await seller.post("/order-confirmations", json={"order_ids": [order_id]})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_party")
    async with here.maker() as maker:
        unknown = await maker.post("/order-confirmations", json={"order_ids": [here.programme_id]})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_order")
    await at.confirmed(here, order_id)
    async with here.maker() as maker:
        again = await maker.post("/order-confirmations", json={"order_ids": [order_id]})
        late = await maker.post(f"/orders/{order_id}/rejections", json={"reason": "too late"})
    assert [again.json()["code"], late.json()["code"]] == ["not_possible_now"] * 2
    (said,) = await here.events("order.confirmed.v1")
    assert said["open"] == {"amount": "1000.00", "currency": "CNY"}


async def test_a_sale_is_confirmed_by_its_seller(here: Desk) -> None:
    body = at.order(here, seller_id=here.id(ANCHOR), buyer_id=here.id(SECOND), side="sale")
    async with here.sme(SECOND) as dealer:
        order_id = (await dealer.post("/orders", json=body)).json()["order_id"]
    await at.confirmed(here, order_id)
    assert (await here.read(f"/orders/{order_id}"))["state"] == "confirmed"


async def test_an_order_is_rejected_and_its_number_is_free_again(here: Desk) -> None:
    first = await at.registered(here)
    async with here.maker() as maker:
        for _ in range(2):
            answer = await maker.post(f"/orders/{first}/rejections", json={"reason": "not ours"})
            assert answer.json()["state"] == "rejected"
    assert len(await here.events("order.rejected.v1")) == 1
    assert await at.registered(here, at.order(here, yuan="900.00")) != first


async def test_r8_an_order_is_lent_on_once_and_freed_with_its_drawdown(here: Desk) -> None:
    order_id = await at.registered(here)
    early = here.held(on_order(order_id))
    await here.hear(early)
    await at.confirmed(here, order_id)
    first, second = here.held(on_order(order_id)), here.held(on_order(order_id))
    await here.hear(first, second)
    refused = {each["subject"]: each["code"] for each in await here.events("assignment.refused.v1")}
    assert refused == {early.drawdown_id: "document_not_free", second.drawdown_id: "document_in_use"}
    assert here.filings()[0]["assets"] == [f"order/{here.id(SUPPLIER)}/{here.id(ANCHOR)}/po1"]
    await here.hear(DrawdownReleased(drawdown_id=first.drawdown_id, reason="cancelled"))
    assert (await here.read(f"/orders/{order_id}"))["state"] == "confirmed"
    assert await lent(here, order_id)


async def test_an_invoice_of_an_order_that_is_lent_on_is_that_loans_and_nobody_finances_it_beside(here: Desk) -> None:
    order_id = await at.ordered(here)
    loan_id = await lent(here, order_id)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "100", "6")))
    assert await here.state(invoice_id) == "validated"
    await confirm_invoices(here, invoice_id)
    shown = await here.read(f"/receivables/{invoice_id}")
    assert (shown["state"], shown["assigned_to"]) == ("financed", loan_id)
    beside = here.held(receivable(invoice_id, "600.00"))
    await here.hear(beside)
    assert (await here.events("assignment.refused.v1"))[-1]["code"] == "document_in_use"
    (said,) = await here.events("order.invoiced.v1")
    assert (said["drawdown_id"], said["open"]["amount"], said["receivable_id"]) == (loan_id, "400.00", invoice_id)
    await here.hear(closed(loan_id))
    assert [await here.state(invoice_id), (await here.read(f"/orders/{order_id}"))["state"]] == ["settled"] * 2
    later = await at.invoiced(here, at.invoice(here, "INV-2", ("2", "50", "8")))
    await confirm_invoices(here, later)
    # The loan is repaid: what is invoiced now is free.
    assert await here.state(later) == "confirmed"


async def test_what_is_invoiced_before_cannot_be_lent_on_as_an_order(here: Desk) -> None:
    order_id = await at.ordered(here)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "100", "6")))
    await confirm_invoices(here, invoice_id)
    assert await here.state(invoice_id) == "confirmed"
    whole, rest = here.held(on_order(order_id)), here.held(on_order(order_id, "400.00"))
    await here.hear(whole, rest)
    (refused,) = await here.events("assignment.refused.v1")
    assert (refused["subject"], refused["code"]) == (whole.drawdown_id, "amount_not_financeable")
    # And the invoice carries a loan of its own.
    await here.hear(here.held(receivable(invoice_id, "600.00")))
    assert await here.state(invoice_id) == "assigned"


async def test_invoices_are_freed_with_the_order_whose_loan_never_came(here: Desk) -> None:
    order_id = await at.ordered(here)
    held = here.held(on_order(order_id))
    await here.hear(held)
    invoice_id = await at.invoiced(here, at.invoice(here, "INV-1", ("1", "100", "6")))
    await confirm_invoices(here, invoice_id)
    assert await here.state(invoice_id) == "assigned"
    await here.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="expired"))
    assert await here.state(invoice_id) == "confirmed"
    # The money went out all the same: order and invoice are taken again.
    await here.hear(disbursed(held.drawdown_id))
    assert await here.state(invoice_id) == "financed"
    assert (await here.read(f"/orders/{order_id}"))["state"] == "financed"


async def test_r6_less_is_ordered_once_a_reference_and_an_assigned_order_is_withdrawn(here: Desk) -> None:
    order_id = await at.ordered(here)
    held = here.held(on_order(order_id))
    await here.hear(held)
    body = {"amount": {"amount": "300.00", "currency": "CNY"}, "reason": "fewer bolts", "reference": "CH-1"}
    async with here.maker() as maker, here.sme(SUPPLIER):
        first = await maker.post(f"/orders/{order_id}/reductions", json=body, headers=key())
        again = await maker.post(f"/orders/{order_id}/reductions", json=body, headers=key())
        over = {**body, "amount": {"amount": "700.01", "currency": "CNY"}, "reference": "CH-2"}
        much = await maker.post(f"/orders/{order_id}/reductions", json=over, headers=key())
        bare = await maker.post(f"/orders/{order_id}/reductions", json={**body, "reference": "CH-3"})
    assert (first.status_code, first.json()["open"]["amount"]) == (201, "700.00")
    assert [again.json()["code"], much.json()["code"]] == ["duplicate_reduction", "invalid_amount"]
    assert bare.status_code in {400, 422}
    (withdrawn,) = await here.events("assignment.withdrawn.v1")
    assert withdrawn["subject"] == held.drawdown_id


async def test_r10_an_order_is_confirmed_into_one_loan_however_its_invoices_and_draws_race(here: Desk) -> None:
    order_id = await at.ordered(here)
    ids = [await at.invoiced(here, at.invoice(here, f"INV-{nth}", ("1", "50", "6"))) for nth in range(2)]
    draws = [here.held(on_order(order_id)) for _ in range(3)]
    work: list[Any] = [confirm_invoices(here, each) for each in ids]
    await asyncio.gather(*work, *(_apply_alone(here, each) for each in draws))
    shown = await here.read(f"/orders/{order_id}")
    invoices = [await here.read(f"/receivables/{each}") for each in ids]
    # The order was assigned first, and invoices confirmed after are its loan's; or they took their part first.
    assert shown["open"]["amount"] == "400.00"
    assert {each["state"] for each in invoices} <= {"assigned", "confirmed"}
    for each in invoices:
        assert each["assigned_to"] in {None, shown["assigned_to"]}
    assert len(await here.events("assignment.documents_assigned.v1")) <= 1


async def _apply_alone(here: Desk, event: Any) -> Outcome:
    return await here.hear(event)


async def test_an_order_and_a_despatch_are_read_from_ubl_and_kept_as_they_came(here: Desk) -> None:
    async with here.sme(SUPPLIER) as sme:
        taken = await sme.post("/trade-documents", content=at.ubl_order(), headers=XML)
        assert taken.status_code == 201, taken.text
        sent = await sme.post("/trade-documents", content=at.ubl_despatch("D-1", ("1", "100")), headers=XML)
        assert sent.status_code == 201, sent.text
        wrong = await sme.post("/trade-documents", content=b"<Catalogue/>", headers=XML)
        odd = await sme.post("/trade-documents", content=b"{}", headers={"content-type": "application/json"})
    found = sent.json()
    assert (found["amount"]["amount"], found["due_date"], found["syntax"]) == ("1000.00", "2027-01-30", "ubl")
    assert [(each["item"], each["price"], each["amount"]) for each in found["lines"]] == [
        ("BOLT", "6", "600.00"),
        ("NUT", "8", "400.00"),
    ]
    assert [(each["kind"], each["lines"][0]["quantity"]) for each in found["deliveries"]] == [("despatch", "100")]
    assert (wrong.status_code, wrong.json()["code"]) == (422, "not_an_invoice")
    assert (odd.status_code, odd.json()["code"]) == (415, "unsupported_media_type")
    async with here.bench.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM original") == 2


async def test_an_invoice_of_another_chain_names_no_order_of_ours(here: Desk) -> None:
    order_id = await at.ordered(here)
    await lent(here, order_id)
    other = await here.confirmed(Sample(SECOND, ANCHOR, order="PO-1"))
    assert await here.state(other) == "confirmed"
    assert (await here.read(f"/orders/{order_id}"))["open"]["amount"] == "1000.00"
