"""What holds of all goods: they only lose value, carry no more than they are worth, and repayment leaves enough."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.goods import Repaid, released
from services.receivables.domain.readings import Bounds, Observed, Reading, Watch, observe
from services.receivables.domain.valuing_goods import Depreciation, Lot, Valuation, appraise, goods_rules
from shared.values.policies import policy_on
from shared.values.rates import MILLION

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULES = goods_rules(policy_on("goods", on=DAY))
SHARES = st.integers(0, MILLION)
WATCH = Watch(Bounds(temperature=(0, 800), humidity=(0, 6000)), 31_000_000, 121_000_000, 500)
DEPRECIATIONS = st.one_of(
    st.builds(Depreciation, st.just("straight_line"), days=st.integers(1, 4000), residual=SHARES),
    st.builds(Depreciation, st.just("per_day"), rate=SHARES),
)
DATES = st.integers(-90, 90).map(lambda days: DAY + timedelta(days=days))
VALUATIONS = st.lists(
    st.builds(
        Valuation,
        DATES,
        st.integers(1, 10**9),
        st.sampled_from("abc"),
        st.one_of(st.none(), st.sampled_from(sorted(RULES.conditions))),
    ),
    max_size=8,
    unique_by=lambda each: (each.valued_date, each.source),
)
LOTS = st.builds(
    Lot, st.sampled_from(sorted(RULES.classes)), st.sampled_from(sorted(RULES.conditions)), st.integers(0, 10**9)
)
OBSERVED = st.builds(
    Observed,
    st.one_of(st.none(), st.integers(0, 10**9)),
    st.none(),
    st.one_of(st.none(), st.booleans()),
    st.none(),
    st.one_of(st.none(), DATES),
)
READINGS = st.lists(
    st.builds(
        Reading,
        st.sampled_from("ab"),
        st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=20 * hours)),
        temperature=st.one_of(st.none(), st.integers(-500, 1500)),
        humidity=st.one_of(st.none(), st.integers(0, 10_000)),
        latitude=st.sampled_from([31_000_000, 31_500_000]),
        longitude=st.just(121_000_000),
        quantity_milli=st.one_of(st.none(), st.integers(0, 5)),
    ),
    max_size=8,
)


@given(DEPRECIATIONS, st.integers(0, 5000), st.integers(0, 5000))
def test_what_is_left_of_a_value_never_rises_and_stays_between_all_and_nothing(
    falls: Depreciation, one: int, other: int
) -> None:
    sooner, later = sorted((one, other))
    assert 0 <= falls.left(later) <= falls.left(sooner) <= falls.left(0) == 1


@given(LOTS, VALUATIONS, OBSERVED, DATES, st.randoms(use_true_random=False))
def test_goods_carry_no_more_than_they_are_worth_in_whatever_order_they_were_valued(
    lot: Lot, series: list[Valuation], seen: Observed, on: date, chance: Random
) -> None:
    found = appraise(lot, series, seen, RULES, on=on)
    assert 0 <= found.eligible_minor <= found.value_minor
    shuffled = chance.sample(series, len(series))
    assert appraise(lot, shuffled, seen, RULES, on=on) == found


@given(LOTS, VALUATIONS, OBSERVED, st.integers(0, 60))
def test_without_a_new_valuation_goods_carry_less_day_by_day(
    lot: Lot, series: list[Valuation], seen: Observed, days: int
) -> None:
    known = [each for each in series if each.valued_date <= DAY]
    now, then = (appraise(lot, known, seen, RULES, on=DAY + timedelta(days=each)) for each in (0, days))
    assert then.value_minor <= now.value_minor
    assert then.eligible_minor <= now.eligible_minor


@given(READINGS, st.integers(0, 8), st.randoms(use_true_random=False))
def test_readings_say_the_same_in_whatever_order_and_batches_they_come(
    readings: list[Reading], cut: int, chance: Random
) -> None:
    together = observe(Observed(), readings, WATCH)
    shuffled = chance.sample(readings, len(readings))
    assert observe(observe(Observed(), shuffled[:cut], WATCH), shuffled[cut:], WATCH) == together


@given(
    st.tuples(st.integers(1, 10**9), st.integers(1, 10**12), st.integers(1, 10**12)),
    SHARES,
    st.fractions(0, 3),
    st.data(),
)
def test_what_repayment_leaves_carries_as_much_for_what_is_open_as_it_did_for_all(
    amounts: tuple[int, int, int], share: int, fall: Fraction, data: st.DataObject
) -> None:
    quantity, lent, carried = amounts
    gone = quantity * share // MILLION
    unit = Fraction(carried, quantity) * fall
    repaid = Repaid(lent, data.draw(st.integers(0, lent)), carried)
    eligible = int((quantity - gone) * unit)
    now = released(
        quantity_milli=quantity, released_milli=gone, eligible_minor=eligible, repaid=repaid, policy="proportional"
    )
    assert gone <= now <= quantity
    if now > gone:
        assert now * lent <= quantity * (lent - repaid.outstanding_minor)
        assert int((quantity - now) * unit) >= repaid.to_carry_minor
    more = Repaid(lent, data.draw(st.integers(0, repaid.outstanding_minor)), carried)
    assert (
        released(
            quantity_milli=quantity, released_milli=gone, eligible_minor=eligible, repaid=more, policy="proportional"
        )
        >= now
    )
