"""Day counts and schedules that others published, as they published them."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from services.settlement.domain.accrual import Balance, Terms, days_past_due, earned_through
from shared.values.periods import DayCount, year_fraction
from shared.values.rates import MILLION

LOANS = Path(__file__).resolve().parents[4] / "shared" / "data" / "loans"
_NEEDS = pytest.mark.skipif(not LOANS.is_dir(), reason="the published loan cases are not beside the repository")


def _rows(name: str) -> list[dict[str, str]]:
    with (LOANS / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@_NEEDS
def test_r2_year_fractions_are_those_that_others_publish() -> None:
    names = {"ACT/360": DayCount.ACT_360, "ACT/365F": DayCount.ACT_365F, "ACT/ACT ISDA": DayCount.ACT_ACT}
    checked = 0
    for row in _rows("daycount_cases.csv"):
        if row["convention"] not in names:
            continue
        start, end = date.fromisoformat(row["start"]), date.fromisoformat(row["end"])
        found = year_fraction(start=start, end=end, day_count=names[row["convention"]])
        assert abs(found - Fraction(row["year_fraction"])) < Fraction(1, 10**9), row
        checked += 1
    assert checked > 10


@_NEEDS
def test_r2_interest_of_a_published_schedule_is_ours_to_the_cent() -> None:
    checked = 0
    for row in _rows("fineract_schedule_rows.csv"):
        if row["matches_act365f"] != "yes":
            continue
        end = datetime.strptime(row["due_date"], "%d %B %Y").date()  # noqa: DTZ007 - a calendar date
        start = end - timedelta(days=int(row["days"]))
        terms = Terms("loan", int(Decimal(row["annual_rate_pct"]) * MILLION / 100), 0, DayCount.ACT_365F, start, end, 0)
        lent = [Balance(start, int(Decimal(row["opening_balance"]) * 100))]
        published = int((Decimal(row["interest"]) * 100).quantize(Decimal(1), ROUND_HALF_EVEN))
        assert earned_through(terms, lent, through=end).interest == published, row
        checked += 1
    assert checked > 50


@_NEEDS
def test_r15_days_past_due_are_those_of_a_published_case() -> None:
    cases: list[dict[str, Any]] = json.loads((LOANS / "frappe_lending_cases.json").read_text(encoding="utf-8"))
    (case,) = [each for each in cases if each["id"] == "dpd_classification"]
    maturity = date.fromisoformat(case["given"]["repayment_start"])
    for expected in case["expected"]:
        on = date.fromisoformat(expected["as_of"])
        assert days_past_due(due_date=maturity, on=on) == expected["days_past_due"]
