"""What holds for every receipt and every accrual (R3, R5, R17, R20)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from services.settlement.domain.accrual import Balance, Earned, Terms, after_receipt, daily, earned_through
from services.settlement.domain.ledger import collection, disbursement, earning
from services.settlement.domain.waterfall import PARTS, Owed, Paper, allocate
from shared.values.periods import DayCount, interest

START = date(2025, 11, 3)
AMOUNT = st.integers(0, 10**13)
OWED = st.builds(Owed, AMOUNT, AMOUNT, AMOUNT, AMOUNT)
PAPER = st.builds(Paper, face=AMOUNT, recourse=st.booleans(), holdback=AMOUNT, collected=AMOUNT, passed_on=AMOUNT)


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    tenor = draw(st.integers(1, 365))
    form: Literal["loan", "purchase"] = draw(st.sampled_from(["loan", "purchase"]))
    return Terms(
        form=form,
        rate=draw(st.integers(0, 240_000)),
        penalty_rate=draw(st.integers(0, 360_000)),
        day_count=draw(st.sampled_from(list(DayCount))),
        start=START,
        maturity=START + timedelta(days=tenor),
        grace_days=draw(st.integers(0, 30)),
        discount_minor=draw(st.integers(0, 10**9)) if form == "purchase" else 0,
    )


@given(receipt=AMOUNT, owed=OWED, paper=PAPER, order=st.permutations(PARTS))
def test_r5_allocations_and_what_is_left_sum_to_the_receipt(
    *, receipt: int, owed: Owed, paper: Paper, order: list[str]
) -> None:
    found = allocate(receipt_minor=receipt, owed=owed, paper=paper, order=order)
    assert found.total == receipt
    assert all(0 <= getattr(found, part) <= getattr(owed, part) for part in PARTS)
    assert min(found.surplus, found.excess, found.kept, found.suspense) >= 0
    left = found.surplus + found.excess
    assert not left or all(getattr(found, part) == getattr(owed, part) for part in PARTS)


@given(receipt=AMOUNT, owed=OWED, paper=PAPER)
def test_r5_nothing_is_taken_while_something_before_it_is_owed(receipt: int, owed: Owed, paper: Paper) -> None:
    found = allocate(receipt_minor=receipt, owed=owed, paper=paper)
    for earlier, later in pairwise(PARTS):
        assert getattr(found, earlier) == getattr(owed, earlier) or getattr(found, later) == 0


@given(receipt=AMOUNT, owed=OWED, paper=PAPER)
def test_r17_with_recourse_the_seller_gets_at_most_the_face_less_what_the_bank_collected(
    receipt: int, owed: Owed, paper: Paper
) -> None:
    with_recourse = replace(paper, recourse=True)
    found = allocate(receipt_minor=receipt, owed=owed, paper=with_recourse)
    collected = paper.collected + sum(getattr(found, part) for part in PARTS)
    assert found.surplus <= max(0, paper.face - paper.passed_on - collected)
    assert found.kept == 0
    # Nothing waits in suspense while the face has room for it.
    assert not found.suspense or found.surplus == max(0, paper.face - paper.passed_on - collected)


@given(receipt=AMOUNT, owed=OWED, paper=PAPER)
def test_r17_without_recourse_the_seller_gets_at_most_its_holdback_and_the_bank_at_most_the_face(
    receipt: int, owed: Owed, paper: Paper
) -> None:
    found = allocate(receipt_minor=receipt, owed=owed, paper=replace(paper, recourse=False))
    assert found.surplus <= max(0, paper.holdback - paper.passed_on)
    taken = sum(getattr(found, part) for part in PARTS)
    room = paper.face - paper.collected - paper.passed_on - taken - found.surplus
    assert found.kept <= max(0, room)


@given(first=AMOUNT, second=AMOUNT, paper=PAPER)
def test_r17_an_obligor_that_pays_in_two_parts_leaves_everybody_what_one_payment_would(
    first: int, second: int, paper: Paper
) -> None:
    at_once = allocate(receipt_minor=first + second, owed=Owed(), paper=paper)
    one = allocate(receipt_minor=first, owed=Owed(), paper=paper)
    after = replace(paper, passed_on=paper.passed_on + one.surplus + one.kept)
    other = allocate(receipt_minor=second, owed=Owed(), paper=after)
    assert one.surplus + other.surplus == at_once.surplus
    assert one.suspense + other.suspense == at_once.suspense


@given(given_terms=terms(), principal=st.integers(1, 10**12), length=st.integers(1, 420))
def test_r3_daily_postings_sum_to_the_periods_total(given_terms: Terms, principal: int, length: int) -> None:
    lent, end, posted = [Balance(START, principal)], START + timedelta(days=length), Earned()
    for day in daily(given_terms, lent, posted=Earned(), start=START, end=end):
        posted = posted.plus(day.earned)
    assert posted == earned_through(given_terms, lent, through=end)
    if given_terms.form == "loan" and end <= given_terms.maturity:
        exact = interest(
            principal_minor=principal, rate=given_terms.rate, start=START, end=end, day_count=given_terms.day_count
        )
        assert abs(posted.interest - exact) * 2 <= 1


@given(
    given_terms=terms(),
    principal=st.integers(2, 10**12),
    paid_after=st.integers(0, 200),
    seen_after=st.integers(0, 200),
    share=st.integers(1, 100),
)
def test_r18_a_receipt_seen_late_costs_what_it_would_have_cost_in_time(
    given_terms: Terms, principal: int, paid_after: int, seen_after: int, share: int
) -> None:
    """Posting days as if unpaid and then the difference gives what posting with the receipt known gives."""
    paid, end = START + timedelta(days=paid_after), START + timedelta(days=paid_after + seen_after)
    lent = [Balance(START, principal)]
    left = after_receipt(lent, value_date=paid, principal_minor=principal * share // 100)
    unaware = earned_through(given_terms, lent, through=end)
    difference = earned_through(given_terms, left, through=end).minus(unaware)
    assert max(difference.interest, difference.penalty) <= 0
    in_time = earned_through(given_terms, lent, through=paid)
    for day in daily(given_terms, left, posted=in_time, start=paid, end=end):
        in_time = in_time.plus(day.earned)
    assert unaware.plus(difference) == in_time


@given(receipt=AMOUNT, owed=OWED, paper=PAPER, change=st.builds(Earned, AMOUNT, AMOUNT, AMOUNT))
def test_r20_every_entry_balances(*, receipt: int, owed: Owed, paper: Paper, change: Earned) -> None:
    allocation = allocate(receipt_minor=receipt, owed=owed, paper=paper)
    entries = [collection(allocation, form="loan"), *earning(change), *earning(Earned().minus(change))]
    for each in entries:
        assert sum(line.debit for line in each.postings) == sum(line.credit for line in each.postings)


@given(face=st.integers(1, 10**12), discount=AMOUNT, fee=AMOUNT, anchor_pays=st.booleans())
def test_r20_a_disbursement_balances_whoever_bears_the_discount(
    *,
    face: int,
    discount: int,
    fee: int,
    anchor_pays: bool,
) -> None:
    paid_out = face - fee - (0 if anchor_pays else discount)
    if paid_out <= 0:
        return
    entries = disbursement(
        form="purchase", principal_minor=face, discount_minor=discount, fee_minor=fee, paid_out_minor=paid_out
    )
    for each in entries:
        assert sum(line.debit for line in each.postings) == sum(line.credit for line in each.postings)
