"""Payments: told by a party or come to the collection account, before and after financing (R7, R9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.events.credit import DrawdownReleased
from shared.events.settlement import BusinessDayOpened, CollectionCleared, CollectionReceived
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

DAY = date(2026, 11, 24)
OTHER = Sample(SUPPLIER, ANCHOR, number="OTHER-77", issue_date=date(2026, 9, 10), due_date=date(2026, 12, 6))


@pytest.fixture
async def opened(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as made:
        await made.hear(BusinessDayOpened(open_date=DAY))
        yield made


def payment(amount: str = "300.00", reference: str = "T-1", day: str = "2026-11-20") -> dict[str, Any]:
    return {"amount": {"amount": amount, "currency": "CNY"}, "paid_date": day, "reference": reference}


def collected(amount: str, *, loan_id: str | None = None, document_id: str | None = None) -> CollectionReceived:
    zero = "0.00"
    return CollectionReceived(
        collection_id=new_id(),
        account="COLLECT-1",
        received=cny(amount),
        applied=cny(amount if loan_id else zero),
        unmatched=cny(zero if loan_id else amount),
        value_date=DAY,
        reference=document_id or loan_id or "",
        loan_id=loan_id,
        document_id=document_id,
    )


def cleared(receipt: CollectionReceived, amount: str, *, in_all: str | None = None, **where: str) -> CollectionCleared:
    """Return what settlement says once two persons passed on what waited of a receipt."""
    return CollectionCleared.model_validate(
        {
            "collection_id": receipt.collection_id,
            "clearing_id": new_id(),
            "way": "loan" if "loan_id" in where else "owner",
            "amount": cny(amount),
            "passed": cny(in_all or amount),
            "unmatched": cny("0.00"),
            "value_date": DAY,
            **where,
        }
    )


async def told(client: httpx.AsyncClient, receivable_id: str, **body: Any) -> tuple[int, str]:
    answer = await client.post(f"/receivables/{receivable_id}/payments", json=payment(**body), headers=key())
    return answer.status_code, answer.json().get("code") or answer.json()["open"]["amount"]


async def test_r7_a_payment_told_by_either_party_lowers_what_can_be_financed_once(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    path = f"/receivables/{receivable_id}/payments"
    async with opened.sme(SUPPLIER) as seller, opened.maker() as obligor, opened.sme(SECOND) as stranger:
        once = key()
        first, again = [await seller.post(path, json=payment(), headers=once) for _ in range(2)]
        assert (first.status_code, first.json()["open"]["amount"]) == (201, "700.00")
        assert again.json() == first.json()
        assert (await seller.post(path, json=payment())).json()["code"] == "missing_idempotency_key"
        assert await told(obligor, receivable_id) == (409, "duplicate_payment")
        assert await told(stranger, receivable_id, reference="T-2") == (403, "foreign_party")
        assert await told(obligor, receivable_id, reference="T-2", amount="700.01") == (422, "invalid_amount")
        assert await told(obligor, receivable_id, reference="T-2", amount="0.00") == (422, "invalid_amount")
        assert await told(obligor, receivable_id, reference="T-2", day="2026-11-25") == (422, "invalid_paid_date")
        assert await told(obligor, receivable_id, reference="T-2", day="2026-08-31") == (422, "invalid_paid_date")
        assert await told(obligor, new_id()) == (404, "unknown_receivable")
        assert await told(obligor, receivable_id, reference="T-2", amount="200.00") == (201, "500.00")
        found = (await seller.get(path)).json()
        assert (await stranger.get(path)).status_code == 403
    assert (found["status"], found["reasons"]) == ("partial", ["paid_in_part"])
    assert [each["amount"]["amount"] for each in found["payments"]] == ["300.00", "200.00"]
    shown = await opened.read(f"/receivables/{receivable_id}")
    assert (shown["paid"]["amount"], shown["open"]["amount"]) == ("500.00", "500.00")
    said = await opened.events("receivable.paid.v1")
    assert [(each["by"]["amount"], each["financeable"]["amount"], each["payee"]) for each in said] == [
        ("300.00", "700.00", "seller"),
        ("200.00", "500.00", "seller"),
    ]
    held = opened.held(receivable(receivable_id, "500.01"))
    await opened.hear(held)
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["code"] == "amount_not_financeable"


async def test_r7_a_receivable_of_which_nothing_is_open_is_settled(opened: Desk) -> None:
    receivable_id = await opened.taken()
    async with opened.sme(SUPPLIER) as seller:
        assert await told(seller, receivable_id, amount="1000.00") == (201, "0.00")
        assert await told(seller, receivable_id, reference="T-2") == (409, "not_possible_now")
    assert await opened.state(receivable_id) == "settled"
    assert (await opened.read(f"/receivables/{receivable_id}/payments"))["status"] == "matched"


async def test_r7_concurrent_payments_take_off_no_more_than_is_open(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    async with opened.sme(SUPPLIER) as seller:
        answers = await asyncio.gather(*(told(seller, receivable_id, reference=f"T-{nth}") for nth in range(8)))
    assert sorted(status for status, _ in answers) == [201] * 3 + [422] * 5
    assert (await opened.read(f"/receivables/{receivable_id}"))["open"]["amount"] == "100.00"


async def test_r9_before_notice_is_proved_it_discharges_and_withdraws_what_is_assigned(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    held = opened.held(receivable(receivable_id))
    await opened.hear(held)
    async with opened.sme(SUPPLIER) as seller:
        assert await told(seller, receivable_id) == (201, "700.00")
        assert await told(seller, receivable_id, reference="T-2", amount="700.00") == (201, "0.00")
    assert (await opened.read(f"/assignments/{held.drawdown_id}"))["state"] == "withdrawn"
    # Freed with its drawdown, it is settled: nothing is open of it.
    await opened.hear(DrawdownReleased(drawdown_id=held.drawdown_id, reason="documents withdrawn"))
    assert await opened.state(receivable_id) == "settled"


async def test_r9_after_notice_only_the_bank_tells_of_a_payment_made_before(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    held = opened.held(receivable(receivable_id))
    await opened.hear(held, disbursed(held.drawdown_id))
    async with opened.bench.database.transaction() as tx:
        await tx.pg.execute(
            """UPDATE notice SET notified_at = $1, delivered_at = $1, means = 'courier', recorded_by = 'test'""",
            datetime(2026, 11, 20, tzinfo=UTC),
        )
    async with opened.sme(SUPPLIER) as seller, opened.bench.caller("bank_maker") as bank:
        assert await told(seller, receivable_id, day="2026-11-19") == (409, "paid_after_notice")
        assert await told(bank, receivable_id, day="2026-11-20") == (409, "paid_after_notice")
        assert await told(bank, receivable_id, day="2026-11-19") == (201, "700.00")
    (said,) = await opened.events("receivable.paid.v1")
    # Nothing of it repaid the loan: credit lowers what is eligible beneath it.
    assert said["drawdown_id"] is None
    assert await opened.state(receivable_id) == "financed"


async def test_r5_what_comes_on_a_loan_pays_its_documents_once_the_named_one_first(opened: Desk) -> None:
    first, second = await opened.confirmed(), await opened.confirmed(OTHER)
    held = opened.held(receivable(first), receivable(second))
    await opened.hear(held, disbursed(held.drawdown_id))
    one = collected("400.00", loan_id=held.drawdown_id, document_id=second)
    await opened.hear(one, collected("1300.00", loan_id=held.drawdown_id))
    await opened.hear(one)
    found = [await opened.read(f"/receivables/{each}") for each in (first, second)]
    assert [(each["paid"]["amount"], each["open"]["amount"]) for each in found] == [
        ("1000.00", "0.00"),
        ("700.00", "300.00"),
    ]
    assert {each["state"] for each in found} == {"financed"}
    assert {each["drawdown_id"] for each in await opened.events("receivable.paid.v1")} == {held.drawdown_id}
    await opened.hear(closed(held.drawdown_id))
    # What comes after the loan is closed is still paid on the documents.
    await opened.hear(collected("500.00", loan_id=held.drawdown_id))
    assert (await opened.read(f"/receivables/{second}"))["open"]["amount"] == "0.00"
    assert (await opened.read(f"/receivables/{second}"))["state"] == "settled"


async def test_r13_what_comes_on_a_slice_is_paid_on_the_root_up_to_the_slice_and_once(opened: Desk) -> None:
    voucher = await opened.voucher()
    root, (whole,) = voucher["receivable_id"], voucher["slices"]
    body = {"slice_id": whole["slice_id"], "transferee_id": opened.id(SECOND), "trade_reference": "contract 7"}
    path = f"/vouchers/{voucher['root_id']}/transfers"
    async with opened.sme(SUPPLIER) as first, opened.sme(SECOND) as second:
        offered = await first.post(path, json={**body, "amount": cny("400.00").model_dump()}, headers=key())
        assert offered.status_code == 201, offered.text
        accepted = await second.post(f"{path}/{offered.json()['transfer_id']}/accept", headers=key())
        assert accepted.status_code == 200, accepted.text
        kept = (await first.get("/vouchers")).json()["items"][0]["slices"]
        passed = (await second.get("/vouchers")).json()["items"][0]["slices"]
    (mine,) = [each["slice_id"] for each in kept if each["state"] == "live"]
    (theirs,) = [each["slice_id"] for each in passed if each["state"] == "live"]
    loans = [opened.held(piece(mine, "600.00")), opened.held(piece(theirs, "400.00"), by=SECOND)]
    for loan in loans:
        await opened.hear(loan, disbursed(loan.drawdown_id))
    part = collected("300.00", loan_id=loans[1].drawdown_id, document_id=theirs)
    await opened.hear(part, part)

    async def shown() -> tuple[str, str, str]:
        found = await opened.read(f"/receivables/{root}")
        return found["paid"]["amount"], found["open"]["amount"], found["state"]

    assert await shown() == ("300.00", "700.00", "confirmed")
    # Of two on one loan at once, and more than its slice is: the rest is no payment of the other slice.
    more = [collected("60.00", loan_id=loans[1].drawdown_id), collected("90.00", loan_id=loans[1].drawdown_id)]
    await opened.hear(*more, closed(loans[1].drawdown_id))
    assert await shown() == ("400.00", "600.00", "confirmed")
    await opened.hear(collected("600.00", loan_id=loans[0].drawdown_id), closed(loans[0].drawdown_id))
    assert await shown() == ("1000.00", "0.00", "settled")
    said = await opened.events("receivable.paid.v1")
    assert [(each["subject"], each["by"]["amount"], each["financeable"]["amount"]) for each in said] == [
        (root, "300.00", "700.00"),
        (root, "60.00", "640.00"),
        (root, "40.00", "600.00"),
        (root, "600.00", "0.00"),
    ]
    async with opened.sme(SUPPLIER) as first:
        told_first = (await first.get(f"/receivables/{root}/payments")).json()
    assert "drawdown_id" not in str(told_first), "whose loan it went to, another holder is not told (R23)"


async def test_r7_what_is_passed_on_later_pays_only_what_the_receipt_did_not_pay_already(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    named = collected("400.00", document_id=receivable_id)
    passed = cleared(named, "400.00", document_id=receivable_id)
    await opened.hear(named, passed, passed)
    assert (await opened.read(f"/receivables/{receivable_id}"))["open"]["amount"] == "600.00"
    # Nobody named it when it came: it is paid by what was passed to its owner, in two parts, each once.
    unnamed = collected("500.00")
    first = cleared(unnamed, "200.00", document_id=receivable_id)
    await opened.hear(unnamed, first, cleared(unnamed, "300.00", in_all="500.00", document_id=receivable_id), first)
    shown = await opened.read(f"/receivables/{receivable_id}")
    assert (shown["paid"]["amount"], shown["open"]["amount"]) == ("900.00", "100.00")
    said = await opened.events("receivable.paid.v1")
    assert [(each["by"]["amount"], each["collection_id"]) for each in said] == [
        ("400.00", named.collection_id),
        ("200.00", unnamed.collection_id),
        ("300.00", unnamed.collection_id),
    ]


async def test_r5_what_is_passed_to_a_loan_later_pays_its_documents(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    loan = opened.held(receivable(receivable_id))
    await opened.hear(loan, disbursed(loan.drawdown_id))
    receipt = collected("300.00")
    await opened.hear(receipt, cleared(receipt, "250.00", loan_id=loan.drawdown_id))
    shown = await opened.read(f"/receivables/{receivable_id}")
    assert (shown["paid"]["amount"], shown["state"]) == ("250.00", "financed")


async def test_r7_what_comes_for_a_receivable_without_a_loan_lowers_what_can_be_financed(opened: Desk) -> None:
    receivable_id = await opened.confirmed()
    await opened.hear(collected("400.00", document_id=receivable_id), collected("1.00", document_id=new_id()))
    assert (await opened.read(f"/receivables/{receivable_id}"))["open"]["amount"] == "600.00"
    await opened.hear(collected("700.00", document_id=receivable_id))
    assert await opened.state(receivable_id) == "settled"
    shown = await opened.read(f"/receivables/{receivable_id}")
    assert (shown["paid"]["amount"], shown["open"]["amount"]) == ("1000.00", "0.00")
