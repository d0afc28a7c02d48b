"""A loan repaid by instalments: billed, paid, missed, cured, repaid early (R3, R4, R5, R15, R17, R21)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.events.credit import PlannedInstalment, RepaymentPlan
from tests.integration.settlement.desk import MATURITY, OPENING, Desk, amounts, cny, credit

FIRST, SECOND = OPENING + timedelta(days=30), OPENING + timedelta(days=60)
_DATES = (FIRST, SECOND, MATURITY)
_PARTS = ("penalty", "interest", "principal", "excess")


def _plan(*principals: str, kind: str = "equal_principal", early: str = "shorten") -> RepaymentPlan:
    parts = [PlannedInstalment(due_date=due, principal=cny(each)) for due, each in zip(_DATES, principals, strict=True)]
    return RepaymentPlan.model_validate({"kind": kind, "early_repayment": early, "instalments": parts})


THIRDS = ("33333.33", "33333.33", "33333.34")


async def _lend(desk: Desk, *principals: str, **more: str) -> str:
    return await desk.disburse(plan=_plan(*(principals or THIRDS), **more))


async def _schedule(desk: Desk, loan_id: str, *names: str) -> list[list[Any]]:
    shown: list[dict[str, Any]] = (await desk.loan(loan_id))["schedule"]
    return [[each[name]["amount"] if isinstance(each[name], dict) else each[name] for name in names] for each in shown]


async def _said(desk: Desk, loan_id: str, kind: str) -> list[dict[str, Any]]:
    return [body for name, body in await desk.events(loan_id) if name == kind]


async def test_r3_paid_on_its_dates_a_plan_costs_what_it_said_and_the_last_takes_the_residue(desk: Desk) -> None:
    loan_id = await _lend(desk)
    assert await _schedule(desk, loan_id, "due_date", "principal", "interest", "state") == [
        [FIRST.isoformat(), "33333.33", "1000.00", "scheduled"],
        [SECOND.isoformat(), "33333.33", "666.67", "scheduled"],
        [MATURITY.isoformat(), "33333.34", "333.33", "scheduled"],
    ]
    for due, total in zip(_DATES, ("34333.33", "34000.00", "33666.67"), strict=True):
        await desk.open_on(due)
        loan = await desk.loan(loan_id)
        assert (loan["next_due_date"], loan["days_past_due"]) == (due.isoformat(), 0)
        entry = await desk.collect(total, on=due, reference=loan_id)
        assert amounts(entry, "penalty", "excess", "surplus") == ["0.00"] * 3
    loan = await desk.loan(loan_id)
    assert (loan["state"], loan["plan"], loan["next_due_date"]) == ("closed", "equal_principal", None)
    assert await _schedule(desk, loan_id, "open", "interest_paid", "state", "settled_date") == [
        ["0.00", interest, "paid", due.isoformat()]
        for due, interest in zip(_DATES, ("1000.00", "666.67", "333.33"), strict=True)
    ]
    balances = await desk.balances()
    assert (balances["interest_income"], balances["interest_receivable"]) == ("2000.00", "0.00")
    assert balances["loans_receivable"] == "0.00"
    repaid = await _said(desk, loan_id, "loan.repaid")
    assert [each["principal"]["amount"] for each in repaid] == list(THIRDS)
    assert (await desk.types(loan_id))[-1] == "loan.closed"
    assert "loan.overdue" not in await desk.types(loan_id)


async def test_r4_a_missed_instalment_bears_penalty_on_itself_alone_and_once_paid_the_delay_is_over(
    desk: Desk,
) -> None:
    loan_id = await _lend(desk)
    await desk.open_on(FIRST)
    await desk.collect("34333.33", on=FIRST, reference=loan_id)
    late = SECOND + timedelta(days=5)
    await desk.open_on(late)
    loan = await desk.loan(loan_id)
    assert (loan["days_past_due"], loan["stage"], loan["next_due_date"]) == (5, 1, SECOND.isoformat())
    # 33,333.33 for two days at 18% in place of interest; the rest goes on at 12%.
    assert loan["penalty_due"]["amount"] == "33.33"
    (overdue,) = await _said(desk, loan_id, "loan.overdue")
    assert (overdue["days_past_due"], overdue["due_date"]) == (4, SECOND.isoformat())
    # What is due: the instalment, its interest, and that of its three days of grace.
    assert overdue["overdue"]["amount"] == "34033.33"
    entry = await desk.collect("34066.66", on=late, reference=loan_id)
    assert amounts(entry, *_PARTS) == ["33.33", "700.00", "33333.33", "0.00"]
    assert [each["cured_date"] for each in await _said(desk, loan_id, "loan.cured")] == [late.isoformat()]
    loan = await desk.loan(loan_id)
    assert (loan["state"], loan["days_past_due"], loan["next_due_date"]) == ("disbursed", 0, MATURITY.isoformat())
    await desk.open_on(MATURITY)
    (owed,) = [each for each in await _schedule(desk, loan_id, "state", "open") if each[0] != "paid"]
    assert owed[0] == "due"
    await desk.collect(owed[1], on=MATURITY, reference=loan_id)
    assert (await desk.loan(loan_id))["state"] == "closed"
    balances = await desk.balances()
    assert (balances["loans_receivable"], balances["interest_receivable"], balances["penalty_receivable"]) == (
        *("0.00", "0.00"),
        "0.00",
    )


async def test_events_carry_the_schedule_and_to_the_day_what_is_due_of_it_penalty_too(desk: Desk) -> None:
    loan_id = await _lend(desk)
    (paid_out,) = await _said(desk, loan_id, "loan.disbursed")
    told = [(each["due_date"], each["interest"]["amount"]) for each in paid_out["standing"]["instalments"]]
    assert told == [(FIRST.isoformat(), "1000.00"), (SECOND.isoformat(), "666.67"), (MATURITY.isoformat(), "333.33")]
    assert await _said(desk, loan_id, "loan.billed") == []
    await desk.open_on(FIRST)
    (due,) = await _said(desk, loan_id, "loan.billed")
    assert due["due"]["amount"] == "34333.33"
    assert [due["standing"][part]["amount"] for part in ("penalty", "interest", "principal")] == [
        *("0.00", "1000.00", "33333.33")
    ]
    for days in (4, 5):
        await desk.open_on(FIRST + timedelta(days=days))
    late = (await _said(desk, loan_id, "loan.billed"))[-2:]
    assert [each["standing"]["on_date"] for each in late] == [
        (FIRST + timedelta(days=days)).isoformat() for days in (4, 5)
    ]
    # 33,333.33 at 18% a day after three of grace.
    assert [each["standing"]["penalty"]["amount"] for each in late] == ["16.67", "33.33"]
    await desk.collect(late[-1]["due"]["amount"], on=FIRST + timedelta(days=5), reference=loan_id)
    after = (await _said(desk, loan_id, "loan.repaid"))[-1]["standing"]
    assert {after[part]["amount"] for part in ("costs", "penalty", "interest", "principal")} == {"0.00"}
    assert [bool(each["settled_date"]) for each in after["instalments"]] == [True, False, False]
    shown = await _schedule(desk, loan_id, "principal", "interest", "principal_paid", "interest_paid")
    assert shown == [
        [each[name]["amount"] for name in ("principal", "interest", "principal_paid", "interest_paid")]
        for each in after["instalments"]
    ]
    said = len(await _said(desk, loan_id, "loan.billed"))
    await desk.open_on(SECOND - timedelta(days=1))
    assert len(await _said(desk, loan_id, "loan.billed")) == said, "on days on which nothing is due nothing is said"


async def test_r15_delay_runs_from_the_oldest_unpaid_instalment_and_a_receipt_that_pays_one_of_two_says_so(
    desk: Desk,
) -> None:
    loan_id = await _lend(desk)
    day = SECOND + timedelta(days=10)
    await desk.open_on(day)
    loan = await desk.loan(loan_id)
    assert (loan["days_past_due"], loan["stage"]) == (40, 2)
    assert await _schedule(desk, loan_id, "state") == [["overdue"], ["overdue"], ["scheduled"]]
    # Penalty on the first for 37 days, on the second for 7.
    entry = await desk.collect("30000.00", on=day, reference=loan_id)
    assert entry["penalty"]["amount"] == "733.33"
    said = await _said(desk, loan_id, "loan.overdue")
    assert [(each["days_past_due"], each["due_date"]) for each in said] == [
        (4, FIRST.isoformat()),
        (31, FIRST.isoformat()),
    ]
    await desk.collect("6000.00", on=day, reference=loan_id)
    said = await _said(desk, loan_id, "loan.overdue")
    assert [(each["days_past_due"], each["due_date"]) for each in said[2:]] == [(10, SECOND.isoformat())]
    assert (await desk.loan(loan_id))["days_past_due"] == 10
    assert await _said(desk, loan_id, "loan.cured") == []


async def test_who_pays_some_days_ahead_has_paid_and_what_accrues_after_falls_due_with_the_next(desk: Desk) -> None:
    loan_id = await _lend(desk)
    ahead = FIRST - timedelta(days=3)
    await desk.open_on(ahead)
    entry = await desk.collect("34333.33", on=ahead, reference=loan_id)
    # 27 days of interest, the instalment, and 100.00 of the last one: more than the 66.57 that would still accrue.
    assert amounts(entry, *_PARTS) == ["0.00", "900.00", "33433.33", "0.00"]
    await desk.open_on(SECOND)
    assert await _said(desk, loan_id, "loan.overdue") == []
    assert await _schedule(desk, loan_id, "interest", "open", "state", "settled_date") == [
        ["900.00", "0.00", "paid", ahead.isoformat()],
        # 66,566.67 for 33 days.
        ["732.23", "34065.56", "due", None],
        ["332.34", "33565.68", "scheduled", None],
    ]


@pytest.mark.parametrize(
    ("early", "left", "waits"),
    [
        # 10,000.00 beyond the running instalment: off the last one, off both in proportion; or all of it waits.
        ("shorten", ["0.00", "33333.33", "23333.34"], None),
        ("lower", ["0.00", "28333.34", "28333.33"], None),
        ("refused", [*THIRDS], "43666.66"),
    ],
)
async def test_r17_early_money_shortens_lowers_or_waits_as_the_contract_says(
    desk: Desk, early: str, left: list[str], waits: str | None
) -> None:
    loan_id = await _lend(desk, early=early)
    day = OPENING + timedelta(days=10)
    await desk.open_on(day)
    entry = await desk.collect("43666.66", on=day, reference=loan_id)
    paid = await _schedule(desk, loan_id, "principal", "principal_paid")
    assert [f"{float(principal) - float(part):.2f}" for principal, part in paid] == left
    assert entry["surplus"]["amount"] == "0.00"
    assert (await desk.balances()).get("collections_in_suspense") == waits
    # R17: interest runs on what is left from the day on which it was paid.
    await desk.open_on(day + timedelta(days=30))
    accrued = {"shorten": "900.00", "lower": "900.00", "refused": "1255.56"}[early]
    assert (await desk.loan(loan_id))["interest_accrued"]["amount"] == accrued


async def test_r17_repaid_in_full_ahead_of_time_interest_stops(desk: Desk) -> None:
    loan_id = await _lend(desk)
    await desk.open_on(FIRST)
    await desk.collect("34333.33", on=FIRST, reference=loan_id)
    day = FIRST + timedelta(days=15)
    await desk.open_on(day)
    # 66,666.67 for 15 days at 12%.
    entry = await desk.collect("67000.00", on=day, reference=loan_id)
    assert amounts(entry, *_PARTS) == ["0.00", "333.33", "66666.67", "0.00"]
    assert (await desk.loan(loan_id))["state"] == "closed"
    assert [each[0] for each in await _schedule(desk, loan_id, "state")] == ["paid"] * 3


async def test_interest_only_pays_interest_by_dates_and_a_missed_one_is_late_without_penalty(desk: Desk) -> None:
    loan_id = await _lend(desk, "0.00", "0.00", "100000.00", kind="interest_only")
    await desk.open_on(FIRST)
    entry = await desk.collect("1000.00", on=FIRST, reference=loan_id)
    assert amounts(entry, *_PARTS) == ["0.00", "1000.00", "0.00", "0.00"]
    await desk.open_on(SECOND + timedelta(days=8))
    loan = await desk.loan(loan_id)
    # R5: interest on overdue interest is off, and no principal is overdue.
    assert (loan["days_past_due"], loan["penalty_due"]["amount"]) == (8, "0.00")
    (overdue,) = await _said(desk, loan_id, "loan.overdue")
    assert (overdue["overdue"]["amount"], overdue["outstanding"]["amount"]) == ("1000.00", "100000.00")


async def test_r18_a_receipt_seen_late_takes_the_delay_and_its_penalty_back(desk: Desk) -> None:
    loan_id = await _lend(desk)
    await desk.open_on(FIRST + timedelta(days=6))
    assert (await desk.loan(loan_id))["penalty_due"]["amount"] == "50.00"
    await desk.collect("34333.33", on=FIRST, reference=loan_id)
    loan = await desk.loan(loan_id)
    assert (loan["penalty_accrued"]["amount"], loan["days_past_due"]) == ("0.00", 0)
    assert len(await _said(desk, loan_id, "loan.cured")) == 1
    assert (await _schedule(desk, loan_id, "interest", "state"))[0] == ["1000.00", "paid"]


async def test_a_statement_pays_one_instalment_in_several_parts(desk: Desk) -> None:
    loan_id = await _lend(desk)
    await desk.open_on(FIRST)
    parts = [credit(each, on=FIRST, reference=f"part of {loan_id}") for each in ("500.00", "10000.00", "23833.33")]
    answer = await desk.statement(*parts)
    assert [amounts(each, "interest", "principal") for each in answer.json()["entries"]] == [
        ["500.00", "0.00"],
        ["500.00", "9500.00"],
        ["0.00", "23833.33"],
    ]
    assert (await _schedule(desk, loan_id, "state"))[0] == ["paid"]


@pytest.mark.parametrize(
    ("principals", "days", "reason"),
    [
        (("33333.33", "33333.33", "33333.33"), 0, "invalid_plan"),
        (THIRDS, 30, "already_matured"),
    ],
)
async def test_r25_a_plan_that_is_not_the_loans_or_came_too_late_fails_with_a_reason(
    desk: Desk, principals: tuple[str, ...], days: int, reason: str
) -> None:
    if days:
        await desk.open_on(OPENING + timedelta(days=days))
    loan_id = await desk.approve_drawdown(plan=_plan(*principals))
    (failed,) = await _said(desk, loan_id, "loan.disbursement_failed")
    assert failed["reason"] == reason
    assert {each["state"] for each in (await desk.loan(loan_id))["schedule"]} == {"planned"}


async def test_a_loan_without_a_plan_is_a_plan_of_one_instalment(desk: Desk) -> None:
    loan_id = await desk.disburse()
    assert (await desk.loan(loan_id))["plan"] == "bullet"
    assert await _schedule(desk, loan_id, "due_date", "principal", "interest", "total") == [
        [MATURITY.isoformat(), "100000.00", "3000.00", "103000.00"]
    ]
    await desk.open_on(MATURITY + timedelta(days=2))
    # It grows while it is in its grace.
    assert await _schedule(desk, loan_id, "interest", "state") == [["3066.67", "overdue"]]


async def test_end_of_day_bills_what_fell_due_of_many_loans_at_once(desk: Desk) -> None:
    loans = [await desk.approve_drawdown(plan=_plan(*THIRDS)) for _ in range(12)]
    plain = await desk.approve_drawdown()
    await desk.run_rail()
    await desk.open_on(FIRST)
    async with desk.service.database.reader() as tx:
        rows = await tx.pg.fetch(
            "SELECT loan_id, nth, billed_minor FROM instalment WHERE billed_minor IS NOT NULL ORDER BY loan_id"
        )
    assert [(row["loan_id"], row["nth"], row["billed_minor"]) for row in rows] == [
        (loan_id, 1, 100_000) for loan_id in sorted(loans)
    ]
    assert plain not in {row["loan_id"] for row in rows}
