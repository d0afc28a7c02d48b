"""Whatever the flows: the mix takes no more than there is, its weeks are its own, and none on a grid is cheaper."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from services.credit.domain.cash_needs import Draw, Flow, Instrument, Mix, cheapest_mix, forecast
from shared.values.periods import DayCount

DAY = date(2026, 3, 2)
WEEKS = 3
UNIT = 100_000
# Minor units by which whole amounts may cost more than fractions, a drawdown.
_WHOLE = 5


def _day(week: int) -> date:
    return DAY + timedelta(days=7 * week)


@dataclass(frozen=True)
class _Case:
    flows: tuple[Flow, ...]
    instruments: tuple[Instrument, ...]
    available: dict[str, int]
    opening: int

    def mix(self, *, minimum: int = 0) -> Mix:
        return cheapest_mix(
            self.flows,
            self.instruments,
            available=self.available,
            start=DAY,
            weeks=WEEKS,
            opening_minor=self.opening,
            minimum_minor=minimum,
        )


@st.composite
def _instruments(draw: st.DrawFn, name: str) -> Instrument:
    ends = draw(st.sampled_from([None, 1, 2, 3, 5]))
    most = UNIT * draw(st.integers(min_value=1, max_value=2))
    return Instrument(
        name=name,
        most_minor=most,
        exposure_minor=most * draw(st.sampled_from([1, 2])),
        rate=draw(st.integers(min_value=0, max_value=400_000)),
        fee_rate=draw(st.integers(min_value=0, max_value=30_000)),
        form=draw(st.sampled_from(["loan", "purchase"])),
        day_count=DayCount.ACT_360,
        shortest_days=draw(st.sampled_from([1, 10])),
        longest_days=360,
        limits=draw(st.sampled_from([{"line": 1_000_000}, {"line": 1_000_000, "group": 500_000}])),
        repaid_on=None if ends is None else _day(ends),
        matures_on=None if ends is None else _day(ends) + timedelta(days=3),
        revolving=ends is None and draw(st.booleans()),
    )


@st.composite
def _cases(draw: st.DrawFn) -> _Case:
    amounts = st.integers(min_value=-3 * UNIT, max_value=3 * UNIT)
    return _Case(
        flows=tuple(Flow(_day(week), draw(amounts)) for week in range(WEEKS)),
        instruments=(draw(_instruments("a")), draw(_instruments("b"))),
        available={"line": UNIT * draw(st.integers(min_value=0, max_value=4)), "group": UNIT},
        opening=draw(st.integers(min_value=-UNIT, max_value=UNIT)),
    )


def _in_bounds(case: _Case, draws: Sequence[Draw]) -> bool:
    """Return whether documents carry one financing and limits what is open, each week."""
    kinds = {each.name: each for each in case.instruments}
    once: dict[str, int] = defaultdict(int)
    for each in draws:
        once[each.instrument] += 0 if kinds[each.instrument].revolving else each.principal
    if any(drawn > kinds[name].most_minor for name, drawn in once.items()):
        return False
    for week in range(WEEKS):
        for limit, left in case.available.items():
            carried = 0
            for each in draws:
                kind = kinds[each.instrument]
                if each.on <= _day(week) and each.repaid_on >= _day(week + 1):
                    taken = each.principal * kind.exposure_minor * kind.limits.get(limit, 0)
                    carried += taken // (kind.most_minor * 1_000_000)
            if carried > left:
                return False
    return True


@settings(max_examples=200, deadline=None)
@given(_cases(), st.integers(min_value=-UNIT, max_value=UNIT))
def test_a_mix_takes_no_more_than_there_is_and_its_weeks_are_those_of_its_drawdowns(case: _Case, minimum: int) -> None:
    found = case.mix(minimum=minimum)
    assert _in_bounds(case, found.draws)
    moved = [
        flow for each in found.draws for flow in (Flow(each.on, each.paid_out), Flow(each.repaid_on, -each.repaid))
    ]
    given_ones = {"start": DAY, "weeks": WEEKS, "opening_minor": case.opening, "minimum_minor": minimum}
    assert found.weeks == forecast([*case.flows, *moved], **given_ones)  # type: ignore[arg-type] # named as they are
    assert found.cost_minor == sum(each.fee + each.interest for each in found.draws)
    assert found == case.mix(minimum=minimum)


@settings(max_examples=60, deadline=None)
@given(_cases())
def test_no_mix_of_whole_units_closes_what_stays_open_or_costs_less(case: _Case) -> None:
    found = case.mix()
    spare = _WHOLE * (len(found.draws) + 1)
    for draws in _grid(case):
        moved = [flow for each in draws for flow in (Flow(each.on, each.paid_out), Flow(each.repaid_on, -each.repaid))]
        weeks = forecast([*case.flows, *moved], start=DAY, weeks=WEEKS, opening_minor=case.opening, minimum_minor=0)
        if min(week.closing for week in weeks) >= spare and _in_bounds(case, draws):
            assert found.uncovered_minor == 0
            assert found.cost_minor <= sum(each.fee + each.interest for each in draws) + spare


def _grid(case: _Case) -> list[tuple[Draw, ...]]:
    """Return every mix of one drawdown an instrument, in any week, until any day, of one unit or two."""
    choices = []
    for each in case.instruments:
        found: list[Draw | None] = [None]
        ends = [each.repaid_on] if each.repaid_on else [_day(week) for week in range(1, WEEKS + 1)]
        for week, end, units in product(range(WEEKS), ends, (1, 2)):
            matures = each.matures_on or end
            days = (matures - _day(week)).days
            if end > _day(week) and days >= each.shortest_days and units * UNIT <= each.most_minor:
                found.append(_drawn(each, week, end, matures, principal=units * UNIT))
        choices.append(found)
    return [tuple(each for each in mix if each) for mix in product(*choices)]


def _drawn(kind: Instrument, week: int, end: date, matures: date, *, principal: int) -> Draw:
    fee = round(principal * kind.fee_rate / 1_000_000)
    cost = round(principal * kind.rate * (matures - _day(week)).days / 360_000_000)
    ahead, after = (fee + cost, 0) if kind.form == "purchase" else (fee, cost)
    return Draw(kind.name, week, _day(week), end, matures, principal, fee, cost, principal - ahead, principal + after)
