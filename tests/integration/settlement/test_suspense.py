"""R25: two persons clear what waits in suspense: to a loan, to its owner, back to its payer, against a debit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from shared.events.receivables import ReceivablePaid, ReceivableRegistered, ReceivableSettled
from shared.values.ids import new_id
from tests.integration.settlement.desk import MATURITY, OPENING, Desk, amounts, cny, credit, debit
from tributary.verify import i04_ledger
from tributary.verify.snapshots import World


async def clear(desk: Desk, suspense_id: str, way: str, **body: Any) -> httpx.Response:
    """Propose and approve; the answer is the proposal's when it is refused."""
    proposed = await propose(desk, suspense_id, way, **body)
    if proposed.status_code != 201:
        return proposed
    return await desk.checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")


async def propose(desk: Desk, suspense_id: str, way: str, **body: Any) -> httpx.Response:
    return await desk.maker.post(
        f"/suspense/{suspense_id}/clearings", json={"way": way, "reason": "seen on the statement", **body}
    )


@pytest.fixture(autouse=True)
async def _sound(desk: Desk) -> AsyncIterator[None]:
    """Verify, whatever a test did, that what waits is what the ledger says (I4)."""
    yield
    async with desk.service.database.snapshot() as tx:
        result = await i04_ledger.check(cast("World", SimpleNamespace(state={"settlement": tx})))
    assert (result.violations, result.examples) == (0, [])


async def waiting(desk: Desk) -> dict[str, str]:
    items = (await desk.maker.get("/suspense")).json()["items"]
    return {item["suspense_id"]: item["waiting"]["amount"] for item in items}


async def only(desk: Desk) -> str:
    (found,) = await waiting(desk)
    return found


async def owed(desk: Desk, *, by: str = "100.00") -> str:
    receivable_id = new_id()
    said = ReceivableRegistered(
        receivable_id=receivable_id,
        seller_id=desk.seller,
        obligor_id=desk.obligor,
        number=receivable_id[-8:],
        document_type="380",
        syntax="ubl",
        issue_date=OPENING,
        due_date=MATURITY,
        payable=cny(by),
        state="validated",
        reasons=[],
    )
    await desk.give(said)
    return receivable_id


def took(receivable_id: str, collection_id: str, by: str, left: str) -> ReceivablePaid:
    """Return what receivables says once a receipt has paid a receivable without a loan."""
    return ReceivablePaid(
        receivable_id=receivable_id,
        by=cny(by),
        paid=cny(by),
        financeable=cny(left),
        payee="collection_account",
        paid_date=OPENING,
        collection_id=collection_id,
    )


async def test_r22_one_person_clears_nothing_alone(desk: Desk) -> None:
    await desk.collect("7.00", on=OPENING, reference="whatever")
    suspense_id = await only(desk)
    proposed = await propose(desk, suspense_id, "payer", account="PAYER-1")
    assert (proposed.status_code, proposed.json()["kind"]) == (201, "suspense.clearing")
    alone = await desk.maker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
    assert alone.status_code == 403
    assert await waiting(desk) == {suspense_id: "7.00"}


async def test_r17_what_is_found_to_be_a_loan_s_goes_through_its_waterfall_from_the_day_it_came(desk: Desk) -> None:
    loan_id = await desk.disburse()
    await desk.collect("100500.00", on=OPENING, reference="no word of any loan")
    suspense_id = await only(desk)
    await desk.open_on(OPENING + timedelta(days=10))
    assert (await desk.loan(loan_id))["interest_accrued"]["amount"] == "333.33"
    assert (await clear(desk, suspense_id, "loan", loan_id=loan_id)).status_code == 200
    found = await desk.loan(loan_id)
    assert (found["state"], found["closed_date"], *amounts(found, "outstanding", "interest_accrued")) == (
        *("closed", OPENING.isoformat()),
        *("0.00", "0.00"),
    )
    # What is above the face stays: neither the seller's nor the bank's.
    assert await waiting(desk) == {suspense_id: "500.00"}
    balances = await desk.balances()
    assert (balances["collections_in_suspense"], balances["loans_receivable"]) == ("500.00", "0.00")
    said = [body for kind, body in await desk.events() if kind == "collection.cleared"][-1]
    assert (said["way"], said["loan_id"]) == ("loan", loan_id)
    assert amounts(said, "amount", "passed", "unmatched") == ["100000.00", "100000.00", "500.00"]
    repaid = [body for kind, body in await desk.events(loan_id) if kind == "loan.repaid"]
    assert amounts(repaid[-1], "principal") == ["100000.00"]
    assert (await clear(desk, suspense_id, "loan", loan_id=loan_id)).json()["code"] == "loan_takes_nothing"


async def test_what_a_receivable_took_is_passed_to_its_owner_and_never_back_to_the_payer(desk: Desk) -> None:
    receivable_id = await owed(desk)
    await desk.collect("130.00", on=OPENING, reference=receivable_id)
    suspense_id = await only(desk)
    early = await clear(desk, suspense_id, "payer", account="PAYER-1")
    assert (early.status_code, early.json()["code"]) == (409, "debt_not_told")
    await desk.give(took(receivable_id, suspense_id, "100.00", "0.00"), ReceivableSettled(receivable_id=receivable_id))
    back = await clear(desk, suspense_id, "payer", account="PAYER-1", amount=cny("30.01").model_dump())
    assert (back.status_code, back.json()["code"]) == (409, "paid_a_debt")
    more = await clear(desk, suspense_id, "owner", receivable_id=receivable_id)
    assert (more.status_code, more.json()["code"]) == (409, "more_than_waits")
    one = cny("100.00").model_dump()
    assert (await clear(desk, suspense_id, "owner", receivable_id=receivable_id, amount=one)).status_code == 200
    # Ordered is not gone: it waits for nobody else, and the money is still there.
    assert await waiting(desk) == {suspense_id: "30.00"}
    assert (await desk.balances())["collections_in_suspense"] == "130.00"
    again = await clear(desk, suspense_id, "owner", receivable_id=receivable_id, amount=cny("0.01").model_dump())
    assert again.json()["code"] == "more_than_waits"
    await desk.run_rail()
    assert (await desk.balances())["collections_in_suspense"] == "30.00"
    assert (await clear(desk, suspense_id, "payer", account="PAYER-1")).status_code == 200
    await desk.run_rail()
    assert await waiting(desk) == {}
    assert (await desk.balances())["collections_in_suspense"] == "0.00"
    said = [body for kind, body in await desk.events() if kind == "collection.cleared"]
    assert [(each["way"], each["document_id"], *amounts(each, "amount", "unmatched")) for each in said] == [
        ("owner", receivable_id, "100.00", "30.00"),
        ("payer", None, "30.00", "0.00"),
    ]
    async with desk.service.database.reader() as tx:
        sent = await tx.pg.fetch("SELECT account, amount_minor FROM rail_payment ORDER BY amount_minor")
    assert [tuple(row) for row in sent] == [("PAYER-1", 3_000), ("SELLER-1", 10_000)]


async def test_money_goes_back_only_to_the_account_that_it_came_from(desk: Desk) -> None:
    entry = {**credit("7.00", on=OPENING, reference="?"), "counterparty_account": "PAYER-1"}
    await desk.statement(entry, credit("8.00", on=OPENING, reference="?"))
    told, untold = sorted(await waiting(desk), key=(await waiting(desk)).__getitem__)
    other = await clear(desk, told, "payer", account="FRIEND-1")
    assert (other.status_code, other.json()["code"]) == (422, "not_where_it_came_from")
    unsaid = await clear(desk, untold, "payer")
    assert (unsaid.status_code, unsaid.json()["code"]) == (422, "not_where_it_came_from")
    assert (await clear(desk, told, "payer")).status_code == 200


async def test_what_the_rail_refuses_waits_again(desk: Desk) -> None:
    await desk.behave("refuse", account="PAYER-1")
    await desk.collect("7.00", on=OPENING, reference="?")
    suspense_id = await only(desk)
    assert (await clear(desk, suspense_id, "payer", account="PAYER-1")).status_code == 200
    assert await waiting(desk) == {}
    await desk.run_rail()
    assert await waiting(desk) == {suspense_id: "7.00"}
    found = (await desk.maker.get(f"/suspense/{suspense_id}")).json()
    assert [(each["way"], each["state"]) for each in found["clearings"]] == [("payer", "refused")]
    assert "collection.cleared" not in await desk.types()
    assert (await clear(desk, suspense_id, "payer", account="PAYER-1")).status_code == 200
    await desk.run_rail()
    assert (await waiting(desk), (await desk.balances())["collections_in_suspense"]) == ({}, "0.00")


async def test_a_silent_payment_of_cleared_money_is_proven_once_by_the_statement(desk: Desk) -> None:
    await desk.behave("silence", account="PAYER-1")
    await desk.collect("7.00", on=OPENING, reference="?")
    suspense_id = await only(desk)
    await clear(desk, suspense_id, "payer", account="PAYER-1")
    await desk.run_rail()
    await desk.wait_out_the_rail()
    (made,) = (await desk.maker.get(f"/suspense/{suspense_id}")).json()["clearings"]
    assert made["state"] == "ordered"
    proof = debit("7.00", on=OPENING, end_to_end_id=made["end_to_end_id"])
    assert [each["outcome"] for each in (await desk.statement(proof)).json()["entries"]] == ["paid"]
    again = debit("7.00", on=OPENING, end_to_end_id=made["end_to_end_id"])
    assert [each["outcome"] for each in (await desk.statement(again)).json()["entries"]] == ["unmatched"]
    balances = await desk.balances()
    assert (balances["collections_in_suspense"], balances["payments_in_suspense"]) == ("0.00", "7.00")
    # What went out twice comes back: a person says that the one is the other.
    await desk.collect("9.00", on=OPENING, reference="sent in error")
    found = {item["direction"]: item["suspense_id"] for item in (await desk.maker.get("/suspense")).json()["items"]}
    too_much = await clear(desk, found["credit"], "debit", against=found["debit"])
    assert too_much.json()["code"] == "more_than_waits"
    part = cny("7.00").model_dump()
    assert (await clear(desk, found["credit"], "debit", against=found["debit"], amount=part)).status_code == 200
    assert await waiting(desk) == {found["credit"]: "2.00"}
    balances = await desk.balances()
    assert (balances["collections_in_suspense"], balances["payments_in_suspense"]) == ("2.00", "0.00")


async def test_of_two_approved_proposals_for_the_same_money_one_is_done(desk: Desk) -> None:
    await desk.collect("7.00", on=OPENING, reference="?")
    suspense_id = await only(desk)
    both = [(await propose(desk, suspense_id, "payer", account=account)).json() for account in ("A", "B")]
    first, second = [await desk.checker.post(f"/approvals/{each['approval_id']}/approve") for each in both]
    assert (first.status_code, second.status_code, second.json()["code"]) == (200, 409, "more_than_waits")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"way": "loan", "loan_id": new_id()}, 404, "unknown_loan"),
        ({"way": "owner", "receivable_id": new_id()}, 409, "not_its_owners"),
        ({"way": "debit", "against": new_id()}, 422, "not_this_way"),
        ({"way": "loan"}, 422, "invalid_request"),
        ({"way": "payer", "loan_id": new_id()}, 422, "invalid_request"),
        ({"way": "payer", "account": "A", "amount": {"amount": "0.00", "currency": "CNY"}}, 409, "more_than_waits"),
        ({"way": "payer", "account": "A", "amount": {"amount": "7.01", "currency": "CNY"}}, 409, "more_than_waits"),
        ({"way": "payer", "account": "A", "amount": {"amount": "7.00", "currency": "EUR"}}, 422, "currency_mismatch"),
        ({"way": "somewhere"}, 422, "invalid_request"),
    ],
)
async def test_r25_nonsense_is_refused_with_its_reason(
    desk: Desk, body: dict[str, Any], status: int, code: str
) -> None:
    await desk.collect("7.00", on=OPENING, reference="?")
    answer = await clear(desk, await only(desk), body.pop("way"), **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_what_paid_one_s_receivable_repays_its_owner_s_loan_and_nobody_else_s(desk: Desk) -> None:
    loan_id = await desk.disburse()
    mine, other = await owed(desk), new_id()
    await desk.collect("100.00", on=OPENING, reference=mine)
    suspense_id = await only(desk)
    await desk.give(took(mine, suspense_id, "100.00", "0.00"))
    async with desk.service.database.transaction() as tx:
        await tx.pg.execute("UPDATE obligation SET creditor_id = $1", other)
    refused = await clear(desk, suspense_id, "loan", loan_id=loan_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "paid_a_debt")
    async with desk.service.database.transaction() as tx:
        await tx.pg.execute("UPDATE obligation SET creditor_id = $1", desk.seller)
    assert (await clear(desk, suspense_id, "loan", loan_id=loan_id)).status_code == 200
    assert await waiting(desk) == {}


async def test_what_a_loan_left_of_a_receipt_that_named_its_document_goes_back_to_the_payer(desk: Desk) -> None:
    document = await owed(desk, by="100000.00")
    await desk.disburse(document_id=document)
    await desk.collect("100030.00", on=OPENING, reference=document)
    suspense_id = await only(desk)
    assert await waiting(desk) == {suspense_id: "30.00"}
    assert (await clear(desk, suspense_id, "payer", account="PAYER-1")).status_code == 200
    await desk.run_rail()
    assert (await desk.balances())["collections_in_suspense"] == "0.00"


async def test_of_many_decisions_at_once_exactly_as_many_are_done_as_money_waits(desk: Desk) -> None:
    await desk.collect("7.00", on=OPENING, reference="?")
    suspense_id = await only(desk)
    part = cny("2.00").model_dump()
    ids = [
        (await propose(desk, suspense_id, "payer", account="A", amount=part)).json()["approval_id"] for _ in range(6)
    ]
    answers = await asyncio.gather(
        *(desk.checker.post(f"/approvals/{each}/approve") for each in ids), desk.run_rail(), desk.run_rail()
    )
    done = [answer.status_code for answer in answers if answer is not None]
    assert (done.count(200), done.count(409)) == (3, 3)
    await desk.run_rail(rounds=2)
    assert await waiting(desk) == {suspense_id: "1.00"}
    assert (await desk.balances())["collections_in_suspense"] == "1.00"
