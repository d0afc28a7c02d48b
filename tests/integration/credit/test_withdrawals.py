"""Documents that are withdrawn, or carry less by the time somebody approves: no money goes out over them (R6, R12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from shared.events.envelope import Event
from shared.events.receivables import DocumentsWithdrawn, ReceivableDiluted
from shared.events.settlement import DisbursementFailed, LoanClosed
from tests.integration.credit.world import OPEN, World, cny


def _withdrawn(drawdown_id: str) -> Event:
    return DocumentsWithdrawn(drawdown_id=drawdown_id, reason="diluted: goods returned")


def _diluted(document_id: str, *, left: str) -> Event:
    return ReceivableDiluted(receivable_id=document_id, by=cny("1.00"), financeable=cny(left), reason="goods returned")


async def _drawn(world: World, *, principal: str = "60000.00") -> tuple[str, str, str]:
    """Draw on a receivable of 100,000; return the supplier, the document and the drawdown."""
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="100000.00")
    answer = await world.draw(supplier, [document], principal)
    assert answer.status_code == 201, answer.text
    return supplier, document, answer.json()["drawdown_id"]


async def _propose(world: World, drawdown_id: str) -> httpx.Response:
    async with world.bench.caller("bank_maker") as maker:
        body = {"decision": "approve", "reason": "known customer"}
        return await maker.post(f"/drawdowns/{drawdown_id}/decision", json=body)


async def _approve(world: World, proposed: httpx.Response) -> httpx.Response:
    assert proposed.status_code == 201, proposed.text
    async with world.bench.caller("bank_checker") as checker:
        return await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")


def _paid(world: World, drawdown: str) -> list[Event]:
    return [world.assigned(drawdown), world.disbursed(drawdown, "60000.00")]


def _closed(world: World, drawdown: str) -> list[Event]:
    closed = LoanClosed(loan_id=drawdown, closed_date=OPEN)
    return [*_paid(world, drawdown), world.repaid(drawdown, "60000.00"), closed]


def _failed(world: World, drawdown: str) -> list[Event]:
    return [world.assigned(drawdown), DisbursementFailed(loan_id=drawdown, reason="refused")]


@pytest.mark.parametrize(
    ("before", "state", "told"),
    [
        (lambda _world, _drawdown: [], "released", ["drawdown.released"]),
        (
            lambda world, drawdown: [world.assigned(drawdown)],
            "cancelling",
            ["drawdown.approved", "drawdown.cancellation_requested"],
        ),
        (_paid, "utilised", ["drawdown.approved", "drawdown.utilised"]),
        (_closed, "repaid", ["drawdown.approved", "drawdown.utilised", "drawdown.reinstated", "drawdown.repaid"]),
        (_failed, "released", ["drawdown.approved", "drawdown.released"]),
    ],
    ids=["held", "approved", "utilised", "repaid", "released"],
)
async def test_withdrawn_documents_stop_what_was_not_paid_and_leave_what_was(
    world: World, before: Any, state: str, told: Sequence[str]
) -> None:
    await world.begin()
    supplier, _, drawdown = await _drawn(world)
    await world.hear(*before(world, drawdown))
    # Told twice, it happens once.
    await world.hear(_withdrawn(drawdown), _withdrawn(drawdown))
    assert (await world.drawdown(drawdown))["state"] == state
    assert await world.told(drawdown) == ["drawdown.held", *told]
    held = (await world.line_of(supplier))["held"]["amount"]
    assert held == ("60000.00" if state == "cancelling" else "0.00")


async def test_r6_nobody_pays_sixty_thousand_over_a_document_worth_one(world: World) -> None:
    await world.begin(auto_approve_up_to=cny("1.00"))
    supplier, document, drawdown = await _drawn(world)
    await world.hear(world.assigned(drawdown))
    proposed = await _propose(world, drawdown)
    await world.hear(_diluted(document, left="1.00"), _withdrawn(drawdown))
    found = await world.drawdown(drawdown)
    assert (found["state"], found["reason"], found["expires_at"]) == ("released", "documents_withdrawn", None)
    answer = await _approve(world, proposed)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_possible_now")
    assert await world.told(drawdown) == ["drawdown.held", "drawdown.referred", "drawdown.released"]
    # What the released drawdown lacked is nobody's any more.
    line = await world.line_of(supplier)
    assert (line["held"]["amount"], line["drawable"], line["reasons"]) == ("0.00", True, [])
    assert (await world.draw(supplier, [await world.receivable(supplier)], "1000.00")).status_code == 201


async def test_a_batch_of_withdrawals_stops_each_drawdown_once(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    drawdowns = [await world.held(supplier, "1000.00") for _ in range(3)]
    await world.hear(world.assigned(drawdowns[0]))
    await world.hear_together([_withdrawn(each) for each in drawdowns])
    states = [(await world.drawdown(each))["state"] for each in drawdowns]
    assert states == ["cancelling", "released", "released"]
    assert (await world.line_of(supplier))["held"]["amount"] == "1000.00"


@pytest.mark.parametrize(("left", "status", "state"), [("75000.00", 200, "approved"), ("74999.99", 422, "referred")])
async def test_r12_two_persons_cannot_approve_what_the_documents_carry_no_longer(
    world: World, left: str, status: int, state: str
) -> None:
    await world.begin(auto_approve_up_to=cny("1.00"))
    _, document, drawdown = await _drawn(world)
    await world.hear(world.assigned(drawdown))
    proposed = await _propose(world, drawdown)
    # The dilution is known here, the withdrawal still on its way.
    await world.hear(_diluted(document, left=left))
    answer = await _approve(world, proposed)
    assert answer.status_code == status, answer.text
    if status != 200:
        problem = answer.json()
        assert (problem["code"], problem["most"]["amount"]) == ("borrowing_base_exceeded", "59999.99")
    assert (await world.drawdown(drawdown))["state"] == state
    await world.hear(_withdrawn(drawdown))
    after = (await world.drawdown(drawdown))["state"]
    assert after == ("cancelling" if state == "approved" else "released")


@pytest.mark.parametrize(
    ("left", "state", "reason"),
    [("75000.00", "approved", None), ("74999.99", "released", "borrowing_base_exceeded")],
)
async def test_r12_the_policy_approves_only_what_the_documents_still_carry(
    world: World, left: str, state: str, reason: str | None
) -> None:
    await world.begin()
    supplier, document, drawdown = await _drawn(world)
    await world.hear(_diluted(document, left=left), world.assigned(drawdown))
    found = await world.drawdown(drawdown)
    assert (found["state"], found["reason"]) == (state, reason)
    line = await world.line_of(supplier)
    assert (line["drawable"], line["reasons"]) == (True, [])
