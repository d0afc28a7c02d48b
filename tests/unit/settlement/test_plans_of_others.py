"""Repayment schedules that others published: what we would bill, and the plans that we would make (R2, R3)."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from services.credit.domain.plans import Lent, add_months, by_dates
from services.settlement.domain.accrual import Balance, Terms
from services.settlement.domain.instalments import Instalment, Repayment, schedule
from shared.values.periods import DayCount

LOANS = Path(__file__).resolve().parents[4] / "shared" / "data" / "loans"
_NEEDS = pytest.mark.skipif(not LOANS.is_dir(), reason="the published loan cases are not beside the repository")


def _minor(text: str) -> int:
    return int(Decimal(text) * 100)


def _published(case: str, step: str) -> tuple[list[dict[str, str]], list[date], date]:
    with (LOANS / "fineract_schedule_rows.csv").open(encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if (row["case"], row["step"]) == (case, step)]
    dates = [datetime.strptime(row["due_date"], "%d %B %Y").date() for row in rows]  # noqa: DTZ007 - calendar dates
    return rows, dates, dates[0] - timedelta(days=int(rows[0]["days"]))


@_NEEDS
@pytest.mark.parametrize(
    ("case", "step", "day_count"),
    [
        ("LoanRepayment-375", "4", DayCount.ACT_365F),
        ("LoanRepayment-407", "4", DayCount.THIRTY_360),
        ("LoanRepayment-439", "4", DayCount.THIRTY_360),
        ("LoanRepayment-471", "4", DayCount.THIRTY_360),
        ("Loan-5598", "7", DayCount.THIRTY_360),
    ],
)
def test_r3_we_bill_a_published_schedule_its_interest_and_differ_by_no_cent_in_all(
    case: str, step: str, day_count: DayCount
) -> None:
    rows, dates, start = _published(case, step)
    rate = int(Decimal(rows[0]["annual_rate_pct"]) * 10_000)
    terms = Terms("loan", rate, 0, day_count, start, dates[-1], 0, 0, tuple(dates[:-1]))
    parts = tuple(
        Instalment(nth, due, _minor(row["principal_due"]))
        for nth, (due, row) in enumerate(zip(dates, rows, strict=True), start=1)
    )
    lent = tuple(Balance(start, part.principal, part.nth) for part in parts)
    billed = [line.interest for line in schedule(Repayment(terms, parts, lent, 0), on=start)]
    published = [_minor(row["interest"]) for row in rows]
    assert len(billed) >= 6
    assert sum(billed) == sum(published)
    # They round each instalment by itself, we carry the remainder.
    assert max(abs(ours - theirs) for ours, theirs in zip(billed, published, strict=True)) <= 1


@_NEEDS
def test_an_annuity_published_by_others_is_ours_within_a_cent() -> None:
    rows, dates, start = _published("Loan-5598", "7")
    lent = Lent(10_000, 70_000, start, dates[-1], DayCount.THIRTY_360)
    plan = by_dates("equal_instalments", lent, dates)
    assert [each.total for each in plan[:-1]] == [_minor(row["due"]) for row in rows[:-1]]
    for ours, theirs in zip(plan, rows, strict=True):
        assert abs(ours.principal - _minor(theirs["principal_due"])) <= 1
        assert abs(ours.interest - _minor(theirs["interest"])) <= 1


@_NEEDS
def test_an_annuity_of_twenty_months_published_by_others_is_ours_to_the_unit() -> None:
    cases = json.loads((LOANS / "frappe_lending_cases.json").read_text(encoding="utf-8"))
    (case,) = [each for each in cases if each["id"] == "term_loan_280000"]
    given, expected, start = case["given"], case["expected"], date(2026, 1, 1)
    dates = [add_months(start, nth) for nth in range(1, given["periods"] + 1)]
    rate = int(Decimal(str(given["annual_rate_pct"])) * 10_000)
    plan = by_dates(
        "equal_instalments", Lent(given["principal"] * 100, rate, start, dates[-1], DayCount.THIRTY_360), dates
    )
    assert round(plan[0].total / 100) == expected["monthly_repayment"]
    # Theirs rounds each instalment up to the unit, so they sum to a little more.
    assert abs(sum(each.interest for each in plan) / 100 - expected["total_interest"]) < given["periods"]
    for row in expected["rows_zero_based_rounded_to_unit"]:
        ours = plan[row["idx"]]
        assert abs(ours.interest / 100 - row["interest"]) <= 1
        assert abs(ours.principal / 100 - row["principal"]) <= 1 or row["idx"] == given["periods"] - 1
