"""A disputed debt carries nothing new; what is assigned on it and not yet paid out is withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.receivables.operations.assign_documents import assign_documents
from services.receivables.operations.movables_registry import MovablesRegistry
from tests.integration.receivables.desk import (
    ANCHOR,
    SUPPLIER,
    Desk,
    as_received,
    cny,
    desk,
    key,
    receivable,
    until_somebody_waits,
)


@pytest.fixture
async def made(fresh_database: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(fresh_database, tmp_path) as opened:
        yield opened


async def _dispute(made: Desk, receivable_id: str, *, disputed: bool = True) -> httpx.Response:
    async with made.maker() as obligor:
        body = {"disputed": disputed, "reason": "half is missing"}
        return await obligor.put(f"/receivables/{receivable_id}/dispute", json=body)


async def test_a_disputed_receivable_is_neither_confirmed_nor_vouchered_nor_assigned(made: Desk) -> None:
    debt = await made.taken()
    assert (await _dispute(made, debt)).json()["disputed"] is True
    body = {"receivable_ids": [debt], "undertaking": "none"}
    async with made.maker() as maker, made.checker() as checker:
        refused = await maker.post("/confirmations", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_possible_now")
        assert (await _dispute(made, debt, disputed=False)).json()["disputed"] is False
        proposed = await maker.post("/confirmations", json=body)
        assert (await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")).status_code == 200
        assert (await _dispute(made, debt)).status_code == 200
        voucher = {"programme_id": made.programme_id, "receivable_id": debt}
        vouchered = await maker.post("/vouchers", json=voucher, headers=key())
        assert vouchered.json()["code"] == "not_possible_now"
    held = made.held(receivable(debt))
    await made.hear(held)
    found = await made.read(f"/assignments/{held.drawdown_id}")
    assert (found["state"], found["code"]) == ("refused", "document_disputed")


async def test_a_dispute_between_assignment_and_payment_withdraws_the_documents_once(made: Desk) -> None:
    debt = await made.confirmed()
    held = made.held(receivable(debt))
    await made.hear(held)
    for _ in range(2):
        assert (await _dispute(made, debt)).status_code == 200
    withdrawn = await made.events("assignment.withdrawn.v1")
    assert [(each["drawdown_id"], each["reason"]) for each in withdrawn] == [
        (held.drawdown_id, "disputed: half is missing")
    ]
    assert len(await made.events("receivable.disputed.v1")) == 1
    assert (await made.read(f"/assignments/{held.drawdown_id}"))["state"] == "withdrawn"


async def test_a_dispute_withdraws_what_was_assigned_while_it_waited_for_the_receivable(made: Desk) -> None:
    debt = await made.confirmed()
    held = made.held(receivable(debt))
    async with made.bench.database.transaction() as tx:
        registry = MovablesRegistry(made.bench.settings.registry)
        await assign_documents(tx, [as_received(held)], registry=registry)
        # Whoever disputes is in no transaction of ours: it has looked for an assignment, and waits for the receivable.
        disputing = asyncio.create_task(_dispute(made, debt), context=Context())
        await until_somebody_waits(tx)
    assert (await disputing).json()["disputed"] is True
    assert [each["drawdown_id"] for each in await made.events("assignment.withdrawn.v1")] == [held.drawdown_id]
    assert (await made.read(f"/assignments/{held.drawdown_id}"))["state"] == "withdrawn"


async def test_who_undertook_irrevocably_to_pay_disputes_nothing(made: Desk) -> None:
    debt = await made.confirmed(undertaking="irrevocable")
    refused = await _dispute(made, debt)
    assert (refused.status_code, refused.json()["code"]) == (409, "undertaking_irrevocable")
    assert await made.events("receivable.disputed.v1") == []


async def test_only_the_parties_say_that_a_debt_exists_and_both_must(made: Desk) -> None:
    debt = await made.taken()
    path = f"/receivables/{debt}/acknowledgements"
    async with made.sme(SUPPLIER) as seller, made.maker(ANCHOR) as obligor, made.bench.caller("bank_maker") as bank:
        assert (await bank.post(path)).status_code == 403
        for _ in range(2):
            assert (await seller.post(path)).json()["acknowledged"] is False
        assert await made.events("receivable.acknowledged.v1") == []
        for _ in range(2):
            assert (await obligor.post(path)).json()["acknowledged"] is True
    assert len(await made.events("receivable.acknowledged.v1")) == 1


def _obligation(made: Desk, number: str, amount: str = "700.00") -> dict[str, Any]:
    return {
        "debtor_id": made.id(ANCHOR),
        "creditor_id": made.id(SUPPLIER),
        "amount": cny(amount).model_dump(),
        "number": number,
        "issue_date": "2026-09-01",
        "due_date": "2026-12-01",
    }


async def test_a_debt_that_both_registered_while_it_waited_counts_as_soon_as_a_person_accepts_it(made: Desk) -> None:
    async with made.sme(SUPPLIER) as creditor, made.maker() as debtor, made.bench.caller("bank_checker") as checker:
        await creditor.post("/obligations", json=_obligation(made, "B-1001"))
        waits = await creditor.post("/obligations", json=_obligation(made, "1001"))
        debt = waits.json()["receivable_id"]
        assert waits.json()["state"] == "referred", waits.text
        again = await debtor.post("/obligations", json=_obligation(made, "1001"))
        assert (again.json()["receivable_id"], again.json()["acknowledged"]) == (debt, False), again.text
        decision = {"decision": "accept", "reason": "two deliveries of one day"}
        decided = await checker.post(f"/receivables/{debt}/referral-decisions", json=decision)
        assert (decided.json()["state"], decided.json()["acknowledged"]) == ("validated", True), decided.text
    assert [each["receivable_id"] for each in await made.events("receivable.acknowledged.v1")] == [debt]


async def test_a_debt_that_was_taken_back_is_not_acknowledged_by_registering_it_again(made: Desk) -> None:
    async with made.sme(SUPPLIER) as creditor, made.maker() as debtor:
        debt = (await creditor.post("/obligations", json=_obligation(made, "B-1"))).json()["receivable_id"]
        reason = {"reason": "a mistake"}
        assert (await creditor.post(f"/receivables/{debt}/cancellations", json=reason)).json()["state"] == "cancelled"
        again = await debtor.post("/obligations", json=_obligation(made, "B-1"))
        assert (again.status_code, again.json()["code"]) == (409, "duplicate_document"), again.text
