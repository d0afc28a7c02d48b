"""What is assigned, financed, vouchered or disputed never enters a netting, whoever is quicker (R14)."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import asyncpg
import pytest

from shared.events.credit import DrawdownReleased
from shared.events.envelope import Event, Received
from shared.events.settlement import LoanDisbursed
from shared.values.ids import new_id
from shared.values.money import Amount
from tests.integration.settlement.netting_town import Town


async def _round(town: Town) -> tuple[str, str, str]:
    """Have A owe B, B owe C and C owe A; what A, the anchor, owes is confirmed: it can be financed."""
    debts = await town.owe("A", "B", "100.00"), await town.owe("B", "C", "80.00"), await town.owe("C", "A", "60.00")
    await town.confirm(debts[0], by="A")
    await town.carry()
    return debts


async def _bind(town: Town, debt: str, how: str) -> None:
    """Bind the debt of A to B."""
    if how in {"assigned", "financed"}:
        held = town.held(debt, by="B", obligor="A", amount="100.00")
        await town.receivables.hear(_told(held))
        if how == "financed":
            money = Amount(amount="50.00", currency="CNY")
            day = date(2026, 1, 5)
            await town.receivables.hear(
                _told(
                    LoanDisbursed(
                        loan_id=held.drawdown_id,
                        principal=money,
                        paid_out=money,
                        disbursed_date=day,
                        maturity_date=day,
                    )
                )
            )
    elif how == "vouchered":
        caller, party = town.receivables.service.caller, town.firms["A"]
        body = {"programme_id": town.programme_id, "receivable_id": debt}
        async with caller("anchor_maker", party=party) as maker, caller("anchor_checker", party=party) as checker:
            proposed = await maker.post("/vouchers", json=body, headers={"idempotency-key": new_id()})
            approved = await checker.post(f"/approvals/{proposed.json()['approval_id']}/approve")
            assert approved.status_code == 200, approved.text
    elif how == "diluted":
        reduction = {"amount": {"amount": "70.00", "currency": "CNY"}, "reason": "returned", "reference": "CN-1"}
        path = f"/receivables/{debt}/dilutions"
        said = await town.receivables_post(
            "A", path, role="anchor_maker", json=reduction, headers={"idempotency-key": new_id()}
        )
        assert said.status_code == 201, said.text
    else:
        async with town.receivables.service.caller("sme", party=town.firms["A"]) as obligor:
            said = await obligor.put(f"/receivables/{debt}/dispute", json={"disputed": True, "reason": "broken"})
        assert said.status_code == 200, said.text


def _told(*events: Event) -> list[Received]:
    return [
        Received(new_id(), each.type, each.topic, each.subject, 1, datetime.now(UTC), "test", None, each)
        for each in events
    ]


BOUND = ("assigned", "financed", "vouchered", "disputed", "diluted")


@pytest.mark.parametrize("how", BOUND[:4])
async def test_r14_what_is_bound_never_enters_a_run(town: Town, how: str) -> None:
    debts = await _round(town)
    await _bind(town, debts[0], how)
    await town.carry()
    assert (await town.run())["netting_ids"] == []


@pytest.mark.parametrize("how", BOUND)
async def test_r14_what_is_bound_while_it_is_proposed_ends_the_proposal(town: Town, how: str) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    await town.answer("A", netting_id)
    await _bind(town, debts[0], how)
    await town.carry()
    assert await town.state(netting_id) == ("ended", "obligation_changed")
    assert (await town.answer("B", netting_id)).json()["code"] == "netting_closed"
    assert await town.offsets() == []


@pytest.mark.parametrize("how", BOUND)
async def test_r14_what_is_bound_before_the_last_acceptance_arrives_lets_nothing_fall(town: Town, how: str) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    await _bind(town, debts[0], how)
    # Settlement has not heard of it yet: all accept, and receivables, who knows, refuses the whole.
    before = await town.owed(*debts)
    await town.accept_all(netting_id)
    await town.carry()
    assert await town.state(netting_id) == ("ended", "obligation_changed")
    assert await town.owed(*debts) == before
    assert await town.offsets() == []


async def test_r14_an_assignment_and_a_set_off_at_once_leave_one_of_them(town: Town) -> None:
    debts = await _round(town)
    wins = set()
    for _ in range(6):
        found = await town.run()
        if not found["netting_ids"]:
            break
        (netting_id,) = found["netting_ids"]
        await town.accept_all(netting_id)
        accepted = await town.settlement.said()
        held = town.held(debts[0], by="B", obligor="A", amount="100.00")
        await asyncio.gather(town.receivables.hear(accepted), town.receivables.hear(_told(held)))
        await town.carry()
        async with town.receivables.service.caller("bank_maker") as bank:
            assigned = (await bank.get(f"/assignments/{held.drawdown_id}")).json()["state"]
        state, _ = await town.state(netting_id)
        owed = await town.owed(*debts)
        if assigned == "assigned":
            assert (state, owed) == ("ended", ["100.00", "80.00", "60.00"])
            wins.add("assignment")
            await town.receivables.hear(_told(DrawdownReleased(drawdown_id=held.drawdown_id, reason="cancelled")))
            await town.carry()
        else:
            assert (assigned, state, owed) == ("refused", "settled", ["40.00", "20.00", "0.00"])
            wins.add("set-off")
    assert wins


async def test_a_released_drawdown_gives_its_debt_back_to_the_next_run(town: Town) -> None:
    debts = await _round(town)
    held = town.held(debts[0], by="B", obligor="A", amount="100.00")
    await town.receivables.hear(_told(held))
    await town.carry()
    assert (await town.run())["netting_ids"] == []
    await town.receivables.hear(_told(DrawdownReleased(drawdown_id=held.drawdown_id, reason="cancelled")))
    await town.carry()
    assert len((await town.run())["netting_ids"]) == 1


async def test_r19_receivables_hears_an_acceptance_twice_and_the_debts_fall_once(town: Town) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    await town.accept_all(netting_id)
    accepted = await town.settlement.said()
    await town.receivables.hear(accepted)
    await town.receivables.hear(accepted)
    await town.carry()
    assert await town.owed(*debts) == ["40.00", "20.00", "0.00"]
    assert await town.state(netting_id) == ("settled", None)


async def test_a_debt_that_fell_is_financed_for_the_rest_only(town: Town) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    await town.accept_all(netting_id)
    await town.carry()
    whole, rest = (town.held(debts[0], by="B", obligor="A", amount=amount) for amount in ("100.00", "40.00"))
    await town.receivables.hear(_told(whole, rest))
    async with town.receivables.service.caller("bank_maker") as bank:
        states = [(await bank.get(f"/assignments/{each.drawdown_id}")).json() for each in (whole, rest)]
    assert [(each["state"], each["code"]) for each in states] == [
        ("refused", "amount_not_financeable"),
        ("assigned", None),
    ]


async def test_what_is_acknowledged_and_not_confirmed_is_never_financed(town: Town) -> None:
    debt = await town.owe("A", "B", "100.00")
    held = town.held(debt, by="B", obligor="A", amount="100.00")
    await town.receivables.hear(_told(held))
    async with town.receivables.service.caller("bank_maker") as bank:
        found = (await bank.get(f"/assignments/{held.drawdown_id}")).json()
    assert (found["state"], found["code"]) == ("refused", "document_not_free")


async def test_r14_the_database_refuses_offsets_that_take_from_one_side_only(town: Town) -> None:
    await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    a, b, c = (town.firms[name] for name in "ABC")
    database = town.settlement.service.database
    statement = """INSERT INTO netting_offset (netting_id, receivable_id, debtor_id, creditor_id, currency,
        amount_minor, posting_date) SELECT $1, r, d, k, 'CNY', m, '2026-01-05'
        FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS u(r, d, k, m)"""

    async def post(*minors: int) -> None:
        async with database.transaction() as tx:
            await tx.pg.execute(statement, netting_id, ["1", "2", "3"], [a, b, c], [b, c, a], list(minors))

    for minor in (59_99, 60_01):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="nothing for"):
            await post(60_00, 60_00, minor)
    await post(60_00, 60_00, 60_00)
    async with database.transaction() as tx:
        with pytest.raises(asyncpg.PostgresError, match="netting_offset"):
            await tx.pg.execute("UPDATE netting_offset SET amount_minor = 1")
