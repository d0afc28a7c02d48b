"""Repayment plans keep every cent: Σ principal, Σ interest, equal parts, the residue last (R1, R2, R3)."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.plans import MOST_INSTALMENTS, Kind, Lent, plan
from shared.values.money import round_half_even
from shared.values.periods import DayCount, interest


@st.composite
def _lent(draw: st.DrawFn) -> tuple[Lent, int]:
    start = draw(st.dates(min_value=date(2020, 1, 1), max_value=date(2030, 1, 1)))
    term = draw(st.integers(1, 365))
    count = draw(st.integers(1, min(term, MOST_INSTALMENTS)))
    lent = Lent(
        principal=draw(st.integers(count, 10**12)),
        rate=draw(st.integers(0, 240_000)),
        start=start,
        maturity=start + timedelta(days=term),
        day_count=draw(st.sampled_from(DayCount)),
    )
    return lent, count


_KINDS = st.sampled_from(["equal_principal", "equal_instalments", "interest_only"])


@given(_lent(), _KINDS)
def test_r3_a_plan_repays_exactly_what_was_lent_by_its_maturity(case: tuple[Lent, int], kind: Kind) -> None:
    lent, count = case
    found = plan(kind, lent, instalments=count)
    assert len(found) == count
    assert sum(each.principal for each in found) == lent.principal
    assert (found[-1].due_date, found[-1].outstanding) == (lent.maturity, 0)
    dates = [lent.start, *(each.due_date for each in found)]
    assert all(earlier < later for earlier, later in pairwise(dates))
    assert all(each.principal >= 0 and each.interest >= 0 for each in found)


@given(_lent(), _KINDS)
def test_r2_interest_is_the_exact_interest_on_what_is_outstanding_rounded_once(
    case: tuple[Lent, int], kind: Kind
) -> None:
    lent, count = case
    found = plan(kind, lent, instalments=count)
    exact, begin, left = Fraction(0), lent.start, lent.principal
    for each in found:
        exact += interest(
            principal_minor=left, rate=lent.rate, start=begin, end=each.due_date, day_count=lent.day_count
        )
        begin, left = each.due_date, each.outstanding
    assert sum(each.interest for each in found) == round_half_even(
        numerator=exact.numerator, denominator=exact.denominator
    )


@given(_lent())
def test_r3_equal_principal_is_equal_and_the_last_takes_the_residue(case: tuple[Lent, int]) -> None:
    lent, count = case
    *earlier, last = plan("equal_principal", lent, instalments=count)
    share = lent.principal // count
    assert {each.principal for each in earlier} <= {share}
    assert 0 <= last.principal - share < count


@given(_lent())
def test_r3_equal_instalments_are_equal_and_the_last_differs_by_less_than_a_cent_each(case: tuple[Lent, int]) -> None:
    lent, count = case
    *earlier, last = plan("equal_instalments", lent, instalments=count)
    totals = {each.total for each in earlier if each.outstanding}
    # Where an instalment is less than a cent or two, interest alone may exceed it.
    if lent.principal > 100 * count:
        assert len(totals) <= 1
        assert all(abs(last.total - total) <= count for total in totals)
