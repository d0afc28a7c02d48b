"""R8: what a person must look at because it may be a standing claim in another guise; how often honest trade is."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.receivables.domain.duplicates import number_key
from services.receivables.domain.near_duplicates import (
    Stated,
    Tolerance,
    guise_of,
    is_one_apart,
    near_duplicates,
)
from shared.values.policies import policy_on

DAY = date(2026, 9, 1)
OURS = Tolerance.of(policy_on("near_duplicates", on=DAY).values)
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "cumcm2020c" / "invoices_unrated.csv"
STANDING = Stated("r1", "seller", "obligor", number_key("INV-1001"), DAY, DAY + timedelta(days=60), "ubl", "")


def again(number: str = "INV-1001", **changed: Any) -> Stated:
    return replace(STANDING, receivable_id="r2", number_key=number_key(number), **changed)


def guise(new: Stated, twins: dict[str, frozenset[str]] | None = None) -> str | None:
    return guise_of(new, STANDING, tolerance=OURS, twins=twins or {})


@pytest.mark.parametrize(
    ("number", "days"),
    [("1001", 0), ("RE/1001", 5), ("INV 01001", -5), ("INV-1OO1", 3), ("lNV-1001", 0), ("INV-1001-A", 1)],
)
def test_r8_a_number_that_looks_alike_near_its_day_is_a_near_duplicate(number: str, days: int) -> None:
    assert guise(again(number, issue_date=DAY + timedelta(days=days))) == "number_looks_alike"


@pytest.mark.parametrize("number", ["INV-10011", "INV-101", "INV-0101", "INV-9001"])
def test_r8_a_number_one_typing_error_away_is_a_near_duplicate_whatever_its_obligor(number: str) -> None:
    assert guise(again(number, obligor_id="another")) == "number_one_apart"
    assert guise(again(number, obligor_id="another", issue_date=DAY + timedelta(days=2))) is None


def test_r8_another_number_on_one_day_to_one_obligor_over_one_amount_is_a_near_duplicate() -> None:
    assert guise(again("X-77")) == "same_day_and_obligor"
    assert guise(again("X-77", obligor_id="another")) is None
    assert guise(again("X-77", issue_date=DAY + timedelta(days=1))) is None
    assert guise(again("X-77", order_key="po1")) == "same_day_and_obligor"
    cited = replace(STANDING, order_key="po1")
    assert guise_of(again("X-77", order_key="po2"), cited, tolerance=OURS, twins={}) is None


def test_r8_numbers_that_count_on_are_a_sale_split_over_invoices_unless_another_format_brings_them() -> None:
    assert guise(again("INV-1002")) is None
    assert guise(again("INV-1101")) is None
    assert guise(again("INV-1102")) == "same_day_and_obligor"
    assert guise(again("INV-1002", syntax="cii")) == "number_one_apart"


def test_r8_a_seller_under_another_registration_is_the_same_seller() -> None:
    twins = {"twin": frozenset({"seller"}), "seller": frozenset({"twin"})}
    assert guise(again(seller_id="twin"), twins) == "number_looks_alike"
    assert guise(again("INV-1002", seller_id="twin"), twins) == "number_one_apart"
    assert guise(again(seller_id="stranger"), twins) is None
    both = {"debtor": frozenset({"obligor"})}
    assert guise(again("X-77", obligor_id="debtor"), both) == "same_day_and_obligor"


def test_r8_the_same_number_of_the_same_seller_is_the_duplicate_keys_business() -> None:
    assert guise(again(issue_date=DAY)) is None


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("1001", "1001", True),
        ("1001", "1011", True),
        ("1001", "0101", True),
        ("1001", "1010", True),
        ("1001", "101", True),
        ("101", "1001", True),
        ("1001", "11", False),
        ("1001", "1110", False),
        ("", "1", True),
        ("", "12", False),
        ("ab", "ba", True),
        ("abc", "cba", False),
    ],
)
def test_one_typing_error_is_a_letter_more_less_another_or_two_swapped(one: str, other: str, *, apart: bool) -> None:
    assert is_one_apart(one, other) is is_one_apart(other, one) is apart


def _referred(invoices: Iterable[Stated], amounts: Iterable[Any]) -> list[str]:
    """Return which of these invoices, in the order of their days, would have waited for a person."""
    standing: dict[Any, list[Stated]] = defaultdict(list)
    waiting = []
    for new, amount in zip(invoices, amounts, strict=True):
        others = [
            each for each in standing[new.seller_id, amount] if (new.issue_date - each.issue_date).days <= OURS.days
        ]
        others = sorted(others, key=lambda each: new.issue_date - each.issue_date)
        standing[new.seller_id, amount] = others
        if near_duplicates(new, others[: OURS.at_most], tolerance=OURS, twins={}):
            waiting.append(new.receivable_id)
        standing[new.seller_id, amount] = [new, *others]
    return waiting


def test_r8_honest_rents_fees_and_weekly_deliveries_of_equal_amounts_wait_for_nobody() -> None:
    invoices, amounts = [], []
    forms = ("{year}-{month:02d}", "RENT-{nth}", "{year}{month:02d}01", "R/{month}/{year}", "{nth:06d}")
    for seller, form in enumerate(forms):
        for nth in range(36):
            year, month = 2023 + nth // 12, nth % 12 + 1
            number = form.format(year=year, month=month, nth=nth + 1)
            issued = date(year, month, 1)
            invoices.append(
                Stated(f"m{seller}-{nth}", f"s{seller}", "o", number_key(number), issued, issued, "ubl", "")
            )
            amounts.append(100_000)
    for nth in range(150):
        issued = DAY + timedelta(days=7 * nth)
        number = number_key(f"D-{1000 + nth}")
        invoices.append(Stated(f"w{nth}", "weekly", "o", number, issued, issued + timedelta(days=30), "ubl", ""))
        amounts.append(100_000)
    assert _referred(invoices, amounts) == []


@pytest.mark.skipif(not REAL.exists(), reason="the invoices of the contest are not here")
def test_r8_of_fifty_thousand_real_invoices_about_one_in_a_hundred_waits() -> None:
    with REAL.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["status"] == "valid" and row["amount_gross"][0] != "-"]
    sides = {"sale": ("company_id", "counterparty_id"), "purchase": ("counterparty_id", "company_id")}
    read: dict[tuple[str, str], tuple[Stated, str]] = {}
    for nth, row in enumerate(sorted(rows, key=lambda row: row["issue_date"])):
        seller, obligor = (row[name] for name in sides[row["direction"]])
        issued = date.fromisoformat(row["issue_date"])
        stated = Stated(f"{nth:07d}", seller, obligor, row["invoice_no"], issued, issued, "csv", "")
        read.setdefault((seller, row["invoice_no"]), (stated, row["amount_gross"]))
    waiting = _referred((stated for stated, _ in read.values()), (amount for _, amount in read.values()))
    assert 0.001 < len(waiting) / len(read) < 0.02, (len(waiting), len(read))
