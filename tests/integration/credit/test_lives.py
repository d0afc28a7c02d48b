"""What becomes of a drawdown: approval, referral, cancellation, expiry, late money, repayment and its reversal."""

from __future__ import annotations

import asyncio
from typing import Any

from services.credit.operations.close_drawdowns import expire_drawdowns
from shared.events.onboarding import EnterpriseSuspended, ProgrammeSuspended
from shared.events.receivables import AssignmentRefused, ReceivableDiluted, ReceivableRejected
from shared.events.settlement import DisbursementFailed, LoanClosed
from shared.values.ids import new_id
from tests.integration.credit.world import OPEN, World, cny


async def _cancel(world: World, drawdown: str, **more: Any) -> Any:
    async with world.bench.caller("bank_maker", subject=more.get("subject")) as maker:
        return await maker.post(
            f"/drawdowns/{drawdown}/cancel",
            json={"reason": more.get("reason", "not needed")},
            headers={"idempotency-key": more.get("key", new_id())},
        )


async def _overdue(world: World, drawdown: str) -> None:
    async with world.database.transaction() as tx:
        await tx.pg.execute(
            "UPDATE drawdown SET expires_at = clock_timestamp() - interval '1 s' WHERE drawdown_id = $1", drawdown
        )


async def _used(world: World) -> dict[str, tuple[str, str]]:
    nodes = await world.nodes()
    return {name: (node["held"]["amount"], node["utilised"]["amount"]) for name, node in nodes.items()}


async def test_a_refused_assignment_releases_and_a_late_one_changes_nothing(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    drawdown = await world.held(supplier, "1000.00")
    await world.hear(AssignmentRefused(drawdown_id=drawdown, code="document_not_free", reason="taken"))
    await world.hear(world.assigned(drawdown))
    found = await world.drawdown(drawdown)
    assert (found["state"], found["reason"]) == ("released", "document_not_free")
    assert await world.told(drawdown) == ["drawdown.held", "drawdown.released"]
    assert (await world.line_of(supplier))["held"]["amount"] == "0.00"


async def test_what_is_above_the_automatic_limit_waits_for_two_persons(world: World) -> None:
    await world.begin(auto_approve_up_to=cny("500.00"))
    supplier = await world.supplier()
    drawdown = await world.held(supplier, "1000.00")
    before = (await world.drawdown(drawdown))["expires_at"]
    await world.hear(world.assigned(drawdown))
    found = await world.drawdown(drawdown)
    assert (found["state"], found["reason"]) == ("referred", "above_automatic_approval")
    assert found["expires_at"] > before
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        queue = (await maker.get("/referrals")).json()["items"]
        assert [each["drawdown_id"] for each in queue] == [drawdown]
        proposed = await maker.post(
            f"/drawdowns/{drawdown}/decision", json={"decision": "approve", "reason": "known customer"}
        )
        assert proposed.status_code == 201, proposed.text
        approval = proposed.json()["approval_id"]
        own = await maker.post(f"/approvals/{approval}/approve")
        assert (own.status_code, own.json()["code"]) == (403, "own_proposal")
        assert (await world.drawdown(drawdown))["state"] == "referred"
        assert (await checker.post(f"/approvals/{approval}/approve")).status_code == 200
        again = await maker.post(f"/drawdowns/{drawdown}/decision", json={"decision": "decline", "reason": "late"})
        assert (again.status_code, again.json()["code"]) == (409, "not_possible_now")
    found = await world.drawdown(drawdown)
    assert (found["state"], found["expires_at"]) == ("approved", None)
    assert await world.told(drawdown) == ["drawdown.held", "drawdown.referred", "drawdown.approved"]


async def test_a_declined_referral_is_released(world: World) -> None:
    await world.begin(auto_approve_up_to=cny("500.00"))
    drawdown = await world.held(await world.supplier(), "1000.00")
    await world.hear(world.assigned(drawdown))
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        proposed = await maker.post(f"/drawdowns/{drawdown}/decision", json={"decision": "decline", "reason": "no"})
        assert proposed.status_code == 422
        proposed = await maker.post(f"/drawdowns/{drawdown}/decision", json={"decision": "decline", "reason": "odd"})
        await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
    assert (await world.drawdown(drawdown))["state"] == "released"


async def test_a_frozen_firms_referral_cannot_be_approved_any_more(world: World) -> None:
    await world.begin(auto_approve_up_to=cny("500.00"))
    supplier = await world.supplier()
    drawdown = await world.held(supplier, "1000.00")
    await world.hear(world.assigned(drawdown))
    async with world.bench.caller("bank_maker") as maker, world.bench.caller("bank_checker") as checker:
        proposed = await maker.post(f"/drawdowns/{drawdown}/decision", json={"decision": "approve", "reason": "fine"})
        await world.hear(EnterpriseSuspended(enterprise_id=supplier, reason="court"))
        answer = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_possible_now")
    assert (await world.drawdown(drawdown))["state"] == "released"


async def test_a_block_stops_what_was_approved_and_not_paid(world: World) -> None:
    await world.begin()
    drawdown = await world.held(await world.supplier(), "1000.00")
    await world.hear(world.assigned(drawdown), ProgrammeSuspended(programme_id=world.programme, reason="anchor"))
    assert (await world.drawdown(drawdown))["state"] == "cancelling"
    await world.hear(DisbursementFailed(loan_id=drawdown, reason="stopped"))
    assert (await world.drawdown(drawdown))["state"] == "released"
    assert await world.told(drawdown) == [
        "drawdown.held",
        "drawdown.approved",
        "drawdown.cancellation_requested",
        "drawdown.released",
    ]


async def test_a_rejected_document_takes_its_drawdown_with_it(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    drawdown = (await world.draw(supplier, [document], "1000.00")).json()["drawdown_id"]
    await world.hear(ReceivableRejected(receivable_id=document, reason="goods returned"))
    found = await world.drawdown(drawdown)
    assert (found["state"], found["reason"]) == ("released", "documents_withdrawn")


async def test_r6_money_out_over_a_rejected_document_is_the_sellers_to_pay_back(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="100.00")
    drawdown = (await world.draw(supplier, [document], "80.00")).json()["drawdown_id"]
    await world.hear(
        world.assigned(drawdown),
        ReceivableRejected(receivable_id=document, reason="never ordered"),
        world.disbursed(drawdown, "80.00"),
    )
    found = await world.drawdown(drawdown)
    assert (found["state"], found["incident"]) == ("utilised", "disbursed_while_cancelling")
    assert found["deficiency"]["amount"] == "80.00"
    assert 80 < float(found["claim"]["amount"]) < 82


async def test_of_cancel_and_expiry_exactly_one_wins(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    for n in range(6):
        drawdown = await world.held(supplier, "1000.00")
        await _overdue(world, drawdown)
        cancelled, expired = await asyncio.gather(_cancel(world, drawdown), expire_drawdowns(world.database))
        assert (cancelled.status_code == 200) != (expired == 1), n
        assert await world.told(drawdown) == ["drawdown.held", "drawdown.released"]
    assert (await world.line_of(supplier))["held"]["amount"] == "0.00"


async def test_i9_only_what_is_over_expires(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    fresh, over = await world.held(supplier, "1000.00"), await world.held(supplier, "2000.00")
    approved = await world.held(supplier, "3000.00")
    await world.hear(world.assigned(approved))
    await _overdue(world, over)
    assert await expire_drawdowns(world.database) == 1
    states = [(await world.drawdown(each))["state"] for each in (fresh, over, approved)]
    assert states == ["held", "released", "approved"]
    assert (await world.drawdown(over))["reason"] == "expired"
    assert (await world.line_of(supplier))["held"]["amount"] == "4000.00"


async def test_r19_a_repeated_cancel_gets_its_first_answer_and_a_late_one_a_refusal(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    drawdown = await world.held(supplier, "1000.00")
    who = new_id()
    first = await _cancel(world, drawdown, key="c", subject=who)
    again = await _cancel(world, drawdown, key="c", subject=who)
    other = await _cancel(world, drawdown, key="c", subject=who, reason="another reason")
    late = await _cancel(world, drawdown, key="d", subject=who)
    assert (first.status_code, first.content) == (200, again.content)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert (late.status_code, late.json()["code"]) == (409, "not_possible_now")
    async with world.bench.caller("sme", party=new_id()) as foreign:
        answer = await foreign.post(
            f"/drawdowns/{drawdown}/cancel", json={"reason": "mine?"}, headers={"idempotency-key": "k"}
        )
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_party")


async def test_r6_money_that_went_out_after_the_release_is_used_with_its_cause_and_an_incident(world: World) -> None:
    await world.begin(limit=cny("1000.00"), upstream_limit=cny("1000.00"))
    supplier = await world.supplier()
    late = await world.held(supplier, "1000.00")
    await world.hear(world.assigned(late))
    assert (await _cancel(world, late)).json()["state"] == "cancelling"
    await world.hear(DisbursementFailed(loan_id=late, reason="rail said so"))
    await world.held(supplier, "1000.00")
    await world.hear(world.disbursed(late, "1000.00"))
    found = await world.drawdown(late)
    assert (found["state"], found["incident"]) == ("utilised", "disbursed_after_release")
    node = (await world.nodes())[f"programme/{world.programme}"]
    assert (node["held"]["amount"], node["utilised"]["amount"], node["shortfall"]["amount"]) == (
        "1000.00",
        "1000.00",
        "1000.00",
    )
    async with world.database.reader() as tx:
        causes = {row["cause"] for row in await tx.pg.fetch("SELECT cause FROM overuse WHERE until IS NULL")}
    assert causes == {"loan.disbursed"}


async def test_a_payment_that_could_not_be_stopped_is_used(world: World) -> None:
    await world.begin()
    drawdown = await world.held(await world.supplier(), "1000.00")
    await world.hear(world.assigned(drawdown))
    await _cancel(world, drawdown)
    await world.hear(world.disbursed(drawdown, "1000.00"))
    found = await world.drawdown(drawdown)
    assert (found["state"], found["incident"]) == ("utilised", "disbursed_while_cancelling")


async def test_r11_repaid_principal_is_available_again_on_every_node_and_a_reversal_uses_it_again(world: World) -> None:
    await world.begin(limit=cny("1000.00"), upstream_limit=cny("1000.00"))
    supplier = await world.supplier()
    drawdown = await world.held(supplier, "1000.00")
    path = {name for name, amounts in (await _used(world)).items() if amounts == ("1000.00", "0.00")}
    assert {name.partition("/")[0] for name in path} == {
        "group",
        "obligor",
        "programme",
        "direction",
        "tier",
        "sme",
        "line",
    }
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, "1000.00"))
    await world.hear(world.repaid(drawdown, "400.00", outstanding="600.00"))
    assert {(await _used(world))[name] for name in path} == {("0.00", "600.00")}
    other = await world.held(supplier, "400.00")
    # The payment bounces: the reversal never fails, it makes the limit short.
    await world.hear(world.repaid(drawdown, "-400.00", outstanding="1000.00"))
    assert {(await _used(world))[name] for name in path} == {("400.00", "1000.00")}
    async with world.database.reader() as tx:
        causes = {row["cause"] for row in await tx.pg.fetch("SELECT cause FROM overuse WHERE until IS NULL")}
        assert await tx.pg.fetchval("SELECT sum(principal_minor) FROM reinstatement") == 0
    assert causes == {"loan.repaid"}
    await _cancel(world, other)
    await world.hear(world.repaid(drawdown, "1000.00"), LoanClosed(loan_id=drawdown, closed_date=OPEN))
    assert set((await _used(world)).values()) == {("0.00", "0.00")}
    assert (await world.line_of(supplier))["available"]["amount"] == "1000.00"
    assert (await world.drawdown(drawdown))["state"] == "repaid"


async def test_a_batch_of_reports_moves_each_node_once_by_the_sum(world: World) -> None:
    await world.begin()
    first, second = await world.supplier(traded="100.00"), await world.supplier(traded="100.00")
    drawdowns = [await world.held(who, "1000.00") for who in (first, second, first)]
    await world.hear_together([world.assigned(each) for each in drawdowns])
    await world.hear_together([world.disbursed(each, "1000.00") for each in drawdowns])
    nodes = await world.nodes()
    assert nodes[f"programme/{world.programme}"]["utilised"]["amount"] == "3000.00"
    assert (await world.line_of(first))["utilised"]["amount"] == "2000.00"


async def test_without_recourse_the_face_is_bought_held_and_reinstated(world: World) -> None:
    await world.begin(recourse=False)
    supplier = await world.supplier()
    document = await world.receivable(supplier)
    answer = await world.draw(supplier, [document], "80000.00")
    assert (answer.json()["form"], answer.json()["held"]["amount"]) == ("purchase", "100000.00")
    drawdown = answer.json()["drawdown_id"]
    assert not any(name.startswith("sme/") and held != "0.00" for name, (held, _) in (await _used(world)).items())
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, "80000.00"))
    assert (await world.line_of(supplier))["utilised"]["amount"] == "100000.00"
    await world.hear(world.repaid(drawdown, "20000.00", outstanding="60000.00"))
    assert (await world.line_of(supplier))["utilised"]["amount"] == "75000.00"
    await world.hear(world.repaid(drawdown, "60000.00"))
    assert (await world.line_of(supplier))["utilised"]["amount"] == "0.00"


async def test_r6_a_credit_note_after_financing_leaves_a_deficiency_then_a_claim_and_blocks_new_draws(
    world: World,
) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="100.00")
    drawdown = (await world.draw(supplier, [document], "80.00")).json()["drawdown_id"]
    await world.hear(world.assigned(drawdown), world.disbursed(drawdown, "80.00"))

    def note(by: str, left: str) -> ReceivableDiluted:
        return ReceivableDiluted(receivable_id=document, by=cny(by), financeable=cny(left), reason="return")

    await world.hear(note("10.00", "90.00"))
    found = await world.drawdown(drawdown)
    assert (found["deficiency"]["amount"], found["claim"]["amount"]) == ("8.00", "0.00")
    assert found["outstanding"]["amount"] == "80.00"
    refused = await world.draw(supplier, [await world.receivable(supplier)], "1.00")
    assert refused.json()["reasons"] == ["deficiency"]
    await world.hear(note("20.00", "70.00"))
    found = await world.drawdown(drawdown)
    interest = float(found["claim"]["amount"]) - 10
    assert 0 < interest < 2
    # Paid back, the line draws again.
    await world.hear(world.repaid(drawdown, "80.00"), LoanClosed(loan_id=drawdown, closed_date=OPEN))
    assert (await world.draw(supplier, [await world.receivable(supplier)], "1.00")).status_code == 201


async def test_r6_under_an_irrevocable_undertaking_neither_deficiency_nor_claim_arises(world: World) -> None:
    await world.begin()
    supplier = await world.supplier()
    document = await world.receivable(supplier, amount="100.00", undertaking="irrevocable")
    drawdown = (await world.draw(supplier, [document], "80.00")).json()["drawdown_id"]
    await world.hear(
        world.assigned(drawdown),
        world.disbursed(drawdown, "80.00"),
        ReceivableDiluted(receivable_id=document, by=cny("30.00"), financeable=cny("70.00"), reason="return"),
    )
    found = await world.drawdown(drawdown)
    assert (found["deficiency"]["amount"], found["claim"]["amount"]) == ("0.00", "0.00")
