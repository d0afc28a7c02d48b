"""Debts that go round are set off when every party accepts; nothing that is held by anybody ever is (R14)."""

from __future__ import annotations

import asyncio

import pytest

from services.settlement.operations.end_nettings import end_late_nettings
from shared.events.onboarding import EnterpriseReinstated, EnterpriseSuspended
from tests.integration.settlement.netting_town import Town


async def _round(town: Town) -> list[str]:
    ids = [await town.owe("A", "B", "100.00"), await town.owe("B", "C", "80.00"), await town.owe("C", "A", "60.00")]
    await town.carry()
    return ids


async def test_r14_every_leg_of_a_round_falls_equally_when_the_last_party_accepts(town: Town) -> None:
    debts = await _round(town)
    found = await town.run()
    assert (found["cleared"]["amount"], found["owed"]["amount"]) == ("180.00", "240.00")
    (netting_id,) = found["netting_ids"]
    for firm in ("A", "B"):
        assert (await town.answer(firm, netting_id)).json()["state"] == "proposed"
    await town.carry()
    assert await town.owed(*debts) == ["100.00", "80.00", "60.00"]
    assert (await town.answer("C", netting_id)).json()["state"] == "accepted"
    await town.carry()
    assert await town.owed(*debts) == ["40.00", "20.00", "0.00"]
    settled = await town.netting(netting_id)
    assert (settled["state"], settled["posting_date"]) == ("settled", "2026-01-05")
    offsets = await town.offsets()
    assert sorted(row["receivable_id"] for row in offsets) == sorted(debts)
    assert {row["amount_minor"] for row in offsets} == {60_00}


async def test_r14_one_who_declines_ends_it_for_all_and_nothing_falls(town: Town) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    await town.answer("A", netting_id)
    assert (await town.answer("B", netting_id, "decline")).status_code == 200
    late = await town.answer("C", netting_id)
    assert (late.status_code, late.json()["code"]) == (409, "netting_closed")
    await town.carry()
    assert await town.state(netting_id) == ("ended", "declined")
    assert await town.owed(*debts) == ["100.00", "80.00", "60.00"]
    assert await town.offsets() == []


async def test_a_party_s_acceptance_counts_once_however_often_it_says_so(town: Town) -> None:
    await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    answers = await asyncio.gather(*(town.answer("A", netting_id) for _ in range(8)))
    assert {each.status_code for each in answers} == {200}
    assert (await town.netting(netting_id))["accepted"] == 1
    await town.accept_all(netting_id)
    again = await town.answer("A", netting_id)
    assert (again.status_code, again.json()["state"]) == (200, "accepted")
    await town.carry()
    assert len(await town.offsets()) == 3


async def test_the_parties_accept_at_the_same_time_and_it_happens_once(town: Town) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    answers = await asyncio.gather(*(town.answer(firm, netting_id) for firm in ("A", "B", "C") for _ in range(3)))
    assert {each.status_code for each in answers} == {200}
    await town.carry()
    assert await town.owed(*debts) == ["40.00", "20.00", "0.00"]


async def test_after_its_deadline_a_netting_is_over(town: Town) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run(accept_hours=1))["netting_ids"]
    database = town.settlement.service.database
    async with database.transaction() as tx:
        await tx.pg.execute("UPDATE netting SET accept_by = clock_timestamp() - interval '1 s'")
    late = await town.answer("A", netting_id)
    assert (late.status_code, late.json()["code"]) == (409, "netting_too_late")
    await end_late_nettings(database)
    await end_late_nettings(database)
    assert await town.state(netting_id) == ("ended", "netting_too_late")
    # What an ended netting held is free for the next one.
    (following,) = (await town.run())["netting_ids"]
    await town.accept_all(following)
    await town.carry()
    assert await town.owed(*debts) == ["40.00", "20.00", "0.00"]


async def test_a_debt_that_one_side_alone_states_counts_for_nothing(town: Town) -> None:
    await town.owe("A", "B", "100.00")
    body = town.stated("B", "A", "100.00", number="X")
    # The debtor itself may register what it owes; then the creditor must say so too.
    registered = await town.receivables_post("B", "/obligations", json=body)
    receivable_id = registered.json()["receivable_id"]
    again = await town.receivables_post("B", "/obligations", json=body)
    assert (again.status_code, again.json()["receivable_id"]) == (201, receivable_id)
    await town.carry()
    assert (await town.run())["netting_ids"] == []
    # To register the same words is to acknowledge them.
    assert (await town.receivables_post("A", "/obligations", json=body)).json()["acknowledged"] is True
    await town.carry()
    assert (await town.run())["cleared"]["amount"] == "200.00"


async def test_r8_a_claim_stands_once_as_an_obligation_or_as_an_invoice(town: Town) -> None:
    await town.owe("A", "B", "100.00", number="INV-001")
    differs = await town.receivables_post("B", "/obligations", json=town.stated("A", "B", "90.00", number="inv 001"))
    assert (differs.status_code, differs.json()["code"]) == (409, "duplicate_document")
    invoice = {
        "seller_id": town.firms["B"],
        "obligor_id": town.firms["A"],
        "number": "INV 001",
        "issue_date": "2026-01-02",
        "payable": {"amount": "100.00", "currency": "CNY"},
    }
    taken = await town.receivables_post("B", "/documents", json=invoice)
    assert (taken.status_code, taken.json()["code"]) == (409, "duplicate_document")


async def test_only_its_parties_state_or_acknowledge_a_debt_and_only_who_owes_disputes_it(town: Town) -> None:
    debt = await town.owe("A", "B", "100.00")
    foreign = await town.receivables_post("C", "/obligations", json=town.stated("A", "B", "1.00", number="F"))
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_party")
    path = f"/receivables/{debt}/acknowledgements"
    assert (await town.receivables_post("C", path)).json()["code"] == "foreign_party"
    async with town.receivables.service.caller("sme", party=town.firms["B"]) as creditor:
        body = {"disputed": True, "reason": "not delivered"}
        refused = await creditor.put(f"/receivables/{debt}/dispute", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_the_obligor")


async def test_r23_a_party_sees_its_own_legs_and_the_totals_and_others_see_nothing(town: Town) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    seen = await town.netting(netting_id, by="A")
    assert {leg["receivable_id"] for leg in seen["own_legs"]} == {debts[0], debts[2]}
    assert (seen["cleared"]["amount"], seen["falls"]["amount"], seen["parties"]) == ("180.00", "60.00", 3)
    assert not {"all_legs", "rounds", "answers", "with_cash"} & set(seen)
    async with town.settlement.service.caller("sme", party=town.firms["D"]) as stranger:
        assert (await stranger.get("/netting/proposals")).json()["items"] == []
        hidden = await stranger.get(f"/netting/proposals/{netting_id}")
        assert (hidden.status_code, hidden.json()["code"]) == (404, "unknown_netting")
        assert (await stranger.post(f"/netting/proposals/{netting_id}/acceptance")).status_code == 404
        assert (await stranger.get("/netting/obligations")).json()["items"] == []
    async with town.settlement.service.caller("sme", party=town.firms["A"]) as party:
        own = (await party.get("/netting/obligations")).json()["items"]
    assert {each["receivable_id"] for each in own} == {debts[0], debts[2]}
    assert all("assigned" not in each for each in own)
    bank = await town.netting(netting_id)
    assert len(bank["all_legs"]) == 3
    assert [each["amount"]["amount"] for each in bank["rounds"]] == ["60.00"]


async def test_cash_is_quoted_with_what_it_would_clear_and_moves_nothing(town: Town) -> None:
    debts = await _round(town)
    cash = {"total": {"amount": "40.00", "currency": "CNY"}}
    found = await town.run(cash=cash)
    assert (found["cleared"]["amount"], found["cash_for_all"]["amount"]) == ("180.00", "40.00")
    with_cash = found["with_cash"]
    assert (with_cash["cleared"]["amount"], with_cash["cash"]["amount"]) == ("240.00", "40.00")
    assert with_cash["given"] == [{"enterprise_id": town.firms["A"], "amount": cash["total"]}]
    assert {each["enterprise_id"] for each in with_cash["kept"]} == {town.firms["B"], town.firms["C"]}
    await town.carry()
    assert await town.owed(*debts) == ["100.00", "80.00", "60.00"]
    async with town.settlement.service.caller("bank_checker") as bank:
        read = (await bank.get(f"/netting/runs/{found['run_id']}")).json()
    assert read["with_cash"] == with_cash


async def test_a_run_covers_the_firms_that_it_names_and_what_no_other_proposal_holds(town: Town) -> None:
    await _round(town)
    firms = [town.firms[name] for name in ("A", "B")]
    assert (await town.run(enterprise_ids=firms))["netting_ids"] == []
    assert len((await town.run())["netting_ids"]) == 1
    # The rest of A → B → C does not go round any more, C → A is promised whole.
    assert (await town.run())["netting_ids"] == []


async def test_a_run_repeated_under_its_key_is_the_same_run(town: Town) -> None:
    await _round(town)
    async with town.settlement.service.caller("bank_maker") as maker:
        answers = await asyncio.gather(
            *(
                maker.post("/netting/runs", json={"currency": "CNY"}, headers={"idempotency-key": "one"})
                for _ in range(3)
            )
        )
        other = await maker.post("/netting/runs", json={"currency": "EUR"}, headers={"idempotency-key": "one"})
        keyless = await maker.post("/netting/runs", json={"currency": "CNY"})
    assert {each.status_code for each in answers} == {201}
    assert len({each.json()["run_id"] for each in answers}) == 1
    assert other.json()["code"] == "idempotency_conflict"
    assert keyless.json()["code"] == "missing_idempotency_key"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"currency": "XXY"}, 422, "unknown_currency"),
        ({"currency": "CNY", "accept_hours": 5_000}, 422, "too_long_to_accept"),
        ({"currency": "CNY", "cash": {"total": {"amount": "1.00", "currency": "EUR"}}}, 422, "currency_mismatch"),
        ({"currency": "CNY", "cash": {"total": {"amount": "-1.00", "currency": "CNY"}}}, 422, "invalid_amount"),
        ({"currency": "CNY", "enterprise_ids": ["nobody"]}, 422, "invalid_request"),
    ],
)
async def test_a_run_that_means_nothing_is_refused(town: Town, body: dict[str, object], status: int, code: str) -> None:
    async with town.settlement.service.caller("bank_maker") as maker:
        answer = await maker.post("/netting/runs", json=body, headers={"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_suspended_firm_enters_no_netting_and_ends_those_that_wait_with_it(town: Town) -> None:
    debts = await _round(town)
    (netting_id,) = (await town.run())["netting_ids"]
    await town.answer("A", netting_id)
    await town.tell(EnterpriseSuspended(enterprise_id=town.firms["C"], reason="court enforcement"))
    assert await town.state(netting_id) == ("ended", "party_barred")
    assert (await town.run())["netting_ids"] == []
    await town.tell(EnterpriseReinstated(enterprise_id=town.firms["C"]))
    (following,) = (await town.run())["netting_ids"]
    # Barred without a word to the proposal, as in a race with the run: the next acceptance ends it.
    async with town.settlement.service.database.transaction() as tx:
        await tx.pg.execute("INSERT INTO netting_barred VALUES ($1)", town.firms["B"])
    assert (await town.answer("A", following)).json()["state"] == "ended"
    await town.carry()
    assert await town.owed(*debts) == ["100.00", "80.00", "60.00"]
