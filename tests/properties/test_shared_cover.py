"""S26: what secures certain lines only is shared among these, no yuan twice, and no other sharing costs less."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.credit.domain.cash_needs import Flow, Instrument, Mix, Shared, cheapest_mix
from services.credit.domain.covers import Cover, CoverState
from services.credit.domain.support import SharedCover
from shared.values.periods import DayCount

DAY = date(2026, 3, 2)
LINES = ("a", "b", "c")
WEEKS = 3
UNIT = 100_000
_EVERY_SET = [frozenset(chosen) for many in (1, 2, 3) for chosen in combinations(LINES, many)]
CREDIT = Instrument(
    name="",
    most_minor=4 * UNIT,
    exposure_minor=4 * UNIT,
    rate=60_000,
    fee_rate=0,
    form="loan",
    day_count=DayCount.ACT_360,
    shortest_days=1,
    longest_days=360,
    limits={},
    revolving=True,
)


def _cover(name: str, lines: Collection[str] | None) -> Cover:
    return Cover(
        cover_id=name,
        asset=name,
        kind="building",
        state=CoverState.REGISTERED,
        value_minor=0,
        valued_on=DAY,
        prior_minor=0,
        rank=1,
        secured_minor=0,
        valid_until=DAY,
        line_ids=None if lines is None else frozenset(lines),
    )


@dataclass(frozen=True)
class _EverySet:
    """The same cover by every set of lines: all that secures any of them, less what they and those in it use."""

    shared: SharedCover

    @property
    def names(self) -> frozenset[str]:
        return self.shared.names

    def room(self, names: Collection[str]) -> int:
        return min(
            self._secures(others) - sum(self.shared.used.get(line, 0) for line in others)
            for others in _EVERY_SET
            if others >= set(names)
        )

    def overdrawn(self, taken: Mapping[str, Fraction]) -> frozenset[str]:
        for names in _EVERY_SET:
            if sum(taken.get(line, 0) for line in names) > self.room(names):
                return names
        return frozenset()

    def _secures(self, names: Iterable[str]) -> int:
        return sum(
            self.shared.values[cover.cover_id]
            for cover in self.shared.covers
            if any(cover.secures(line) for line in names)
        )


@st.composite
def _shared(draw: st.DrawFn) -> SharedCover:
    securing = st.one_of(st.none(), st.sets(st.sampled_from(LINES), min_size=1))
    covers = [_cover(str(nth), draw(securing)) for nth in range(draw(st.integers(min_value=1, max_value=4)))]
    values = {each.cover_id: UNIT * draw(st.integers(min_value=0, max_value=3)) for each in covers}
    used = dict.fromkeys(LINES, 0)
    for cover in covers:
        # What is used is secured already, by a cover that may.
        line = draw(st.sampled_from([each for each in LINES if cover.secures(each)]))
        used[line] += values[cover.cover_id] * draw(st.integers(min_value=0, max_value=3)) // 3
    return SharedCover(covers, values, used, frozenset(LINES))


def _mix(flows: list[Flow], shared: Shared, rates: Mapping[str, int]) -> Mix:
    rooms = {line: shared.room({line}) for line in LINES}
    return cheapest_mix(
        flows,
        [replace(CREDIT, name=line, rate=rates[line], limits={line: 1_000_000}) for line in LINES],
        available=rooms,
        shared=shared,
        start=DAY,
        weeks=WEEKS,
        opening_minor=0,
        minimum_minor=0,
    )


@settings(max_examples=150, deadline=None)
@given(
    _shared(),
    st.lists(st.integers(min_value=-6 * UNIT, max_value=3 * UNIT), min_size=WEEKS, max_size=WEEKS),
    st.permutations([50_000, 60_000, 70_000]),
)
def test_s26_lines_share_their_cover_exactly(shared: SharedCover, moved: list[int], rates: list[int]) -> None:
    flows = [Flow(DAY + timedelta(days=7 * week), minor) for week, minor in enumerate(moved)]
    by_line = dict(zip(LINES, rates, strict=True))
    every = _EverySet(shared)
    found = _mix(flows, shared, by_line)
    for week in range(WEEKS):
        taken = dict.fromkeys(LINES, Fraction(0))
        for each in found.draws:
            if each.week <= week and each.repaid_on > DAY + timedelta(days=7 * week):
                taken[each.instrument] += each.principal
        assert not every.overdrawn(taken)
    expected = _mix(flows, every, by_line)
    assert (found.cost_minor, found.uncovered_minor) == (expected.cost_minor, expected.uncovered_minor)


@given(_shared(), st.sets(st.sampled_from(LINES), min_size=1))
def test_what_lines_may_take_together_is_what_every_set_of_them_leaves(shared: SharedCover, names: set[str]) -> None:
    assert shared.room(names) == _EverySet(shared).room(names)
