"""The life of a loan, what goes out for it, the open day, and stages."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Literal

import pytest

from services.settlement.domain.business_day import (
    DayAlreadyClosed,
    DayInTheFuture,
    ValueDateAhead,
    check_close,
    check_open,
    check_value_date,
    payment_value_date,
    today,
)
from services.settlement.domain.loans import AlreadyApplied, Executed, Input, NotPossible, State, ask, step
from services.settlement.domain.payouts import AlreadyMatured, NothingToPay, Payout, payout
from services.settlement.domain.staging import overdue_marks, stage
from shared.values.periods import DayCount

DAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("state", "happened", "expected"),
    [
        (State.INSTRUCTED, Input.CONFIRMED, State.DISBURSED),
        (State.INSTRUCTED, Input.REFUSED, State.FAILED),
        (State.INSTRUCTED, Input.SILENT, State.UNKNOWN),
        (State.INSTRUCTED, Input.STOPPED, State.FAILED),
        (State.UNKNOWN, Input.CONFIRMED, State.DISBURSED),
        (State.UNKNOWN, Input.REFUSED, State.FAILED),
        (State.UNKNOWN, Input.PROVEN, State.DISBURSED),
        (State.UNKNOWN, Input.FOUND_DISBURSED, State.DISBURSED),
        (State.UNKNOWN, Input.FOUND_FAILED, State.FAILED),
        (State.DISBURSED, Input.SETTLED, State.CLOSED),
    ],
)
def test_a_loan_moves_as_the_domains_table_says(state: State, happened: Input, expected: State) -> None:
    assert step(state, happened) == Executed(expected)


@pytest.mark.parametrize("happened", [Input.CONFIRMED, Input.PROVEN])
def test_money_that_went_out_although_it_was_given_up_is_lent_and_an_incident(happened: Input) -> None:
    assert step(State.FAILED, happened) == Executed(State.DISBURSED, "disbursed_after_failure")


@pytest.mark.parametrize(
    ("state", "happened"),
    [
        (State.DISBURSED, Input.CONFIRMED),
        (State.DISBURSED, Input.PROVEN),
        (State.DISBURSED, Input.SILENT),
        (State.DISBURSED, Input.STOPPED),
        (State.UNKNOWN, Input.SILENT),
        (State.UNKNOWN, Input.STOPPED),
        (State.FAILED, Input.REFUSED),
        (State.CLOSED, Input.SETTLED),
        (State.CLOSED, Input.CONFIRMED),
    ],
)
def test_r19_what_comes_twice_or_too_late_does_nothing(state: State, happened: Input) -> None:
    assert step(state, happened) == AlreadyApplied()


@pytest.mark.parametrize("state", [State.INSTRUCTED, State.DISBURSED, State.FAILED, State.CLOSED])
def test_persons_decide_unknown_payments_only(state: State) -> None:
    with pytest.raises(NotPossible):
        ask(state, Input.FOUND_DISBURSED, loan_id="x")


@pytest.mark.parametrize(
    ("form", "payer", "expected"),
    [
        ("loan", "seller", Payout(discount_minor=0, holdback_minor=0, paid_out_minor=990)),
        ("loan", "anchor", Payout(discount_minor=0, holdback_minor=0, paid_out_minor=990)),
        ("purchase", "seller", Payout(discount_minor=30, holdback_minor=200, paid_out_minor=960)),
        ("purchase", "anchor", Payout(discount_minor=30, holdback_minor=200, paid_out_minor=990)),
    ],
)
def test_r2_a_purchase_keeps_its_discount_and_a_loan_keeps_no_interest(
    form: Literal["loan", "purchase"], payer: Literal["seller", "anchor"], expected: Payout
) -> None:
    found = payout(
        form=form,
        principal_minor=1_000,
        face_minor=1_200,
        fee_minor=10,
        rate=120_000,
        day_count=DayCount.ACT_360,
        interest_payer=payer,
        value_date=date(2026, 1, 1),
        maturity_date=date(2026, 4, 1),
    )
    assert found == expected


@pytest.mark.parametrize(
    ("fee", "maturity", "error"), [(900, date(2026, 4, 1), NothingToPay), (0, DAY, AlreadyMatured)]
)
def test_terms_that_leave_nothing_or_no_time_are_refused(fee: int, maturity: date, error: type[Exception]) -> None:
    with pytest.raises(error):
        payout(
            form="loan",
            principal_minor=900,
            face_minor=900,
            fee_minor=fee,
            rate=0,
            day_count=DayCount.ACT_360,
            interest_payer="seller",
            value_date=DAY if maturity == DAY else date(2026, 1, 1),
            maturity_date=maturity,
        )


def test_r18_the_cut_off_decides_the_value_date_of_a_payment() -> None:
    before, at = datetime(2026, 11, 24, 8, 59, 59, tzinfo=UTC), datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    dates = [
        payment_value_date(instant=instant, zone="Asia/Shanghai", cut_off=time(17), open_date=DAY)
        for instant in (before, at)
    ]
    assert dates == [DAY, date(2026, 11, 25)]


@pytest.mark.parametrize("open_date", [date(2026, 1, 5), date(2026, 11, 25)])
def test_r18_while_the_book_is_not_at_the_calendars_day_the_open_day_counts(open_date: date) -> None:
    at = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    assert payment_value_date(instant=at, zone="Asia/Shanghai", cut_off=time(17), open_date=open_date) == open_date


def test_r18_today_is_where_the_bank_is() -> None:
    late = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
    assert (today(now=late, zone="UTC"), today(now=late, zone="Asia/Shanghai")) == (DAY, date(2026, 11, 25))


def test_the_book_moves_forward_only_and_never_past_today() -> None:
    check_close(day=DAY, open_date=DAY, today=DAY)
    check_open(opening_date=DAY, today=DAY)
    check_value_date(value_date=DAY, open_date=DAY)
    with pytest.raises(DayAlreadyClosed):
        check_close(day=date(2026, 11, 23), open_date=DAY, today=DAY)
    with pytest.raises(DayInTheFuture):
        check_close(day=date(2026, 11, 25), open_date=DAY, today=DAY)
    with pytest.raises(DayInTheFuture):
        check_open(opening_date=date(2026, 11, 25), today=DAY)
    with pytest.raises(ValueDateAhead):
        check_value_date(value_date=date(2026, 11, 25), open_date=DAY)


@pytest.mark.parametrize(("days", "expected"), [(0, 1), (30, 1), (31, 2), (90, 2), (91, 3)])
def test_r21_stages_follow_days_past_due(days: int, expected: int) -> None:
    assert stage(days_past_due=days) == expected


def test_r21_the_presumption_can_be_rebutted() -> None:
    assert stage(days_past_due=45, rebutted=True) == 1


@pytest.mark.parametrize(("grace", "marks"), [(0, (1, 31, 91)), (3, (4, 31, 91)), (40, (41, 91))])
def test_r21_a_loan_is_announced_after_grace_and_at_each_stage(grace: int, marks: tuple[int, ...]) -> None:
    assert overdue_marks(grace_days=grace) == marks
