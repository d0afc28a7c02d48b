"""What the obligor pays, to whom, and what it discharges (R7, R9)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.payments import (
    InvalidPaidDate,
    PaidAfterNotice,
    Payable,
    check_paid_to_seller,
    match_payments,
    spread,
)
from services.receivables.domain.receivables import NotPossible
from shared.values.money import CurrencyMismatch, InvalidAmount, Money

TODAY, NOTICE = date(2026, 10, 1), datetime(2026, 9, 20, 8, tzinfo=UTC)
PAYABLE = Payable("r", "confirmed", vouchered=False, open=Money(1_000, "CNY"), issue_date=date(2026, 9, 1))
ASSIGNED = replace(PAYABLE, state="assigned", delivered_at=NOTICE)


def checked(payable: Payable, *, minor: int = 1_000, day: date = date(2026, 9, 19), by_bank: bool = False) -> None:
    check_paid_to_seller(payable, by=Money(minor, "CNY"), paid_date=day, today=TODAY, told_by_bank=by_bank)


def test_r9_before_notice_paying_the_seller_discharges() -> None:
    for state in ("validated", "confirmed", "assigned", "financed"):
        checked(replace(PAYABLE, state=state))
    checked(ASSIGNED, by_bank=True)


@pytest.mark.parametrize(
    ("day", "by_bank"), [(date(2026, 9, 20), True), (date(2026, 9, 25), True), (date(2026, 9, 19), False)]
)
def test_r9_after_notice_it_does_not_and_only_the_bank_tells_of_one_before(day: date, by_bank: bool) -> None:  # noqa: FBT001 - parametrised
    with pytest.raises(PaidAfterNotice):
        checked(ASSIGNED, day=day, by_bank=by_bank)


@pytest.mark.parametrize(
    ("change", "call", "error"),
    [
        ({"state": "referred"}, {}, NotPossible),
        ({"state": "settled"}, {}, NotPossible),
        ({"state": "cancelled"}, {}, NotPossible),
        ({"vouchered": True}, {}, NotPossible),
        ({}, {"day": date(2026, 8, 31)}, InvalidPaidDate),
        ({}, {"day": date(2026, 10, 2)}, InvalidPaidDate),
        ({}, {"minor": 0}, InvalidAmount),
        ({}, {"minor": -1}, InvalidAmount),
        ({}, {"minor": 1_001}, InvalidAmount),
        ({"open": Money(1_000, "EUR")}, {}, CurrencyMismatch),
    ],
)
def test_r7_what_cannot_have_been_paid_is_refused(
    change: dict[str, Any], call: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        checked(replace(PAYABLE, **change), **call)


@given(received=st.integers(0, 50), opens=st.lists(st.integers(0, 20), max_size=5))
def test_money_for_several_receivables_pays_each_in_full_before_the_next(received: int, opens: list[int]) -> None:
    named = [(f"r{nth}", minor) for nth, minor in enumerate(opens)]
    shares = spread(received, named)
    assert sum(shares.values()) == min(received, sum(opens))
    assert all(0 < shares[name] <= dict(named)[name] for name in shares)
    paid = [name for name, minor in named if shares.get(name, 0) == minor and minor]
    part = [name for name, minor in named if 0 < shares.get(name, 0) < minor]
    assert len(part) <= 1
    assert not part or paid == [name for name, minor in named if minor and name < part[0]]


DUE, LATE = date(2026, 9, 30), date(2026, 10, 1)


@pytest.mark.parametrize(
    ("open_minor", "paid_dates", "found"),
    [
        (0, [DUE], ("matched", ())),
        (0, [DUE, LATE], ("matched", ("paid_late",))),
        (1, [DUE], ("partial", ("paid_in_part", "overdue"))),
        (1, [], ("unmatched", ("not_paid", "overdue"))),
        (0, [], ("unmatched", ("nothing_was_left_to_pay",))),
    ],
)
def test_the_bank_flow_that_paid_is_matched_with_reasons(
    open_minor: int, paid_dates: list[date], found: tuple[str, tuple[str, ...]]
) -> None:
    made = match_payments(open_minor=open_minor, due_date=DUE, paid_dates=paid_dates, today=TODAY)
    assert (made.status, made.reasons) == found
