"""What cash a firm lacks, week by week, and the mix of drawdowns that closes the gap at the least cost (DOMAIN S26).

Within a week, what comes in is there for what goes out. A drawdown is paid out on the first day of its week.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal, Protocol

from services.credit.domain.least_cost import Condition, least_cost
from shared.values.money import round_half_even
from shared.values.periods import DayCount, interest, year_fraction
from shared.values.rates import MILLION

WEEK_DAYS = 7
_PARTS = 1_000_000_000
# What is left open costs more than any chain of drawdowns that could close it: it is left open only where none can.
_OPEN = 1_000 * _PARTS
# Minor units kept ready for each drawdown: its own rounding down, and that of its fee and its interest.
_ROUNDING = 3


@dataclass(frozen=True, slots=True)
class Flow:
    """Money on a date, in minor units: what comes in is above zero, what goes out below."""

    on: date
    minor: int


@dataclass(frozen=True, slots=True)
class Week:
    """One week of a forecast, in minor units; `gap` is what the closing balance lacks of the wanted minimum."""

    start: date
    opening: int
    inflow: int
    outflow: int
    closing: int
    gap: int


def forecast(
    flows: Iterable[Flow], *, start: date, weeks: int, opening_minor: int, minimum_minor: int
) -> tuple[Week, ...]:
    """Return the weeks from `start`; what was due before counts in the first, what is due after the last not at all."""
    inflow, outflow = [0] * weeks, [0] * weeks
    for flow in flows:
        nth = max(0, (flow.on - start).days) // WEEK_DAYS
        if nth < weeks:
            (inflow if flow.minor > 0 else outflow)[nth] += abs(flow.minor)
    found, opening = [], opening_minor
    for nth in range(weeks):
        closing = opening + inflow[nth] - outflow[nth]
        begins = start + timedelta(days=WEEK_DAYS * nth)
        found.append(Week(begins, opening, inflow[nth], outflow[nth], closing, max(0, minimum_minor - closing)))
        opening = closing
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something the firm can draw on: how much at most, at what cost, when it is repaid, and which limits it takes.

    On documents it is repaid when their obligor pays (`repaid_on`), its interest counted to maturity. On nothing but
    the line it is drawn for whole weeks, from `shortest_days` to `longest_days`, and again when it is `revolving`.
    `exposure_minor` is what limits carry when it is drawn in full; `limits` are the shares, in millionths, of that
    which each carries.
    """

    name: str
    most_minor: int
    exposure_minor: int
    rate: int
    fee_rate: int
    form: Literal["loan", "purchase"]
    day_count: DayCount
    shortest_days: int
    longest_days: int
    limits: Mapping[str, int]
    repaid_on: date | None = None
    matures_on: date | None = None
    revolving: bool = False


@dataclass(frozen=True, slots=True)
class Draw:
    """A drawdown of the mix; amounts in minor units."""

    instrument: str
    week: int
    on: date
    repaid_on: date
    matures_on: date
    principal: int
    fee: int
    interest: int
    paid_out: int
    repaid: int


@dataclass(frozen=True, slots=True)
class Mix:
    """The drawdowns, what they cost together, and the weeks as they are with them."""

    draws: tuple[Draw, ...]
    cost_minor: int
    weeks: tuple[Week, ...]

    @property
    def uncovered_minor(self) -> int:
        """Return the largest gap that stays."""
        return max(week.gap for week in self.weeks)


@dataclass(frozen=True, slots=True)
class _Option:
    """An instrument drawn in one week and repaid in another; costs a unit in parts, before and at repayment."""

    instrument: Instrument
    week: int
    on: date
    repaid_on: date
    matures_on: date
    repaid_week: int
    ahead: int
    after: int

    def is_open(self, week: int) -> bool:
        """Return whether it is drawn and not repaid at the end of a week."""
        return self.week <= week < self.repaid_week


class Shared(Protocol):
    """Limits, by name, that stand on the same cover: together they may have less room than each alone."""

    @property
    def names(self) -> frozenset[str]:
        """Return which limits."""

    def room(self, names: Collection[str]) -> int:
        """Return what may be taken of some of them together."""

    def overdrawn(self, taken: Mapping[str, Fraction]) -> frozenset[str]:
        """Return some of which more would be taken together than there is room; none when all can be."""


def cheapest_mix(
    flows: Sequence[Flow],
    instruments: Sequence[Instrument],
    *,
    available: Mapping[str, int],
    shared: Shared | None = None,
    start: date,
    weeks: int,
    opening_minor: int,
    minimum_minor: int,
) -> Mix:
    """Return the drawdowns that keep every week at the minimum at the least interest and fees, as far as any can.

    `available` is what each limit has left, `shared` what some have together. The amounts are whole minor units, so
    the mix may cost a few of them more than the least cost in fractions.
    """

    def seen(more: Iterable[Flow] = ()) -> tuple[Week, ...]:
        return forecast(
            [*flows, *more], start=start, weeks=weeks, opening_minor=opening_minor, minimum_minor=minimum_minor
        )

    bare = seen()
    draws: tuple[Draw, ...] = ()
    options = _options(instruments, bare, start=start)
    bounds = {frozenset({name}): left for name, left in available.items()}
    margin, ready = 0, -1
    while options and margin > ready:
        ready = margin
        needs = [minimum_minor + margin - week.closing for week in bare]
        draws = _solve(options, needs, bounds, shared)
        margin = max(margin, _ROUNDING * len(draws))
    moved = [flow for each in draws for flow in (Flow(each.on, each.paid_out), Flow(each.repaid_on, -each.repaid))]
    return Mix(draws, sum(each.fee + each.interest for each in draws), seen(moved))


def _solve(
    options: Sequence[_Option], needs: Sequence[int], bounds: dict[frozenset[str], int], shared: Shared | None
) -> tuple[Draw, ...]:
    """Return the cheapest amounts of the options that meet the needs of every week, rounded down.

    What is taken together of limits that share is bounded where the mix would take more, set by set, until it does
    not: what is least under some of the conditions and meets all of them is least under all.
    """
    costs = [option.ahead + option.after for option in options] + [_OPEN] * len(needs)
    conditions = [*(_cash(options, week, need) for week, need in enumerate(needs)), *_once_each(options)]
    while True:
        found = least_cost(costs, [*conditions, *_limits(options, bounds, len(needs))])
        more = _overdrawn(options, found.amounts, shared, len(needs)) if shared else None
        if not more:
            break
        bounds |= more
    drawn = [_draw(option, int(amount)) for option, amount in zip(options, found.amounts, strict=False)]
    return tuple(sorted((each for each in drawn if each.principal), key=lambda each: (each.on, each.instrument)))


def _overdrawn(
    options: Sequence[_Option], amounts: Sequence[Fraction], shared: Shared, weeks: int
) -> dict[frozenset[str], int]:
    """Return the sets of limits of which the mix takes more together than they have, and what they have."""
    found: dict[frozenset[str], int] = {}
    for week in _ends(options, weeks):
        taken: dict[str, Fraction] = defaultdict(Fraction)
        for option, amount in zip(options, amounts, strict=False):
            for name in option.instrument.limits.keys() & shared.names if option.is_open(week) else ():
                instrument = option.instrument
                share = Fraction(instrument.limits[name] * instrument.exposure_minor, MILLION * instrument.most_minor)
                taken[name] += amount * share
        if names := shared.overdrawn(taken):
            found[names] = shared.room(names)
    return found


def _options(instruments: Sequence[Instrument], bare: Sequence[Week], *, start: date) -> list[_Option]:
    """Return when each instrument can usefully be drawn and repaid; none where nothing lacks.

    Before the first gap nothing need be drawn: whatever is drawn earlier costs more and helps no week. Only what
    could not be drawn for so short a time any more, until the same day, is drawn before it, as late as it can.
    """
    first = next((nth for nth, week in enumerate(bare) if week.gap), None)
    if first is None:
        return []
    found = []
    for instrument in instruments:
        if instrument.most_minor <= 0:
            continue
        made = [
            _option(instrument, week, repaid, matures, start=start)
            for week in range(len(bare))
            for repaid, matures in _endings(instrument, week, start=start, weeks=len(bare))
        ]
        useful = [option for option in made if option.week >= first]
        early = {option.repaid_on: option for option in made if option.week < first < option.repaid_week}
        found += useful + [early[day] for day in early.keys() - {option.repaid_on for option in useful}]
    # Of what costs the same, the later is drawn: a firm need not owe before it must.
    return sorted(found, key=lambda each: (each.ahead + each.after, -each.week, each.instrument.name))


def _endings(instrument: Instrument, week: int, *, start: date, weeks: int) -> list[tuple[date, date]]:
    """Return the dates on which a drawdown of a week may be repaid and mature."""
    on = start + timedelta(days=WEEK_DAYS * week)
    if instrument.repaid_on is not None and instrument.matures_on is not None:
        ends = [(instrument.repaid_on, instrument.matures_on)]
    else:
        ends = [(day, day) for day in (start + timedelta(days=WEEK_DAYS * n) for n in range(week + 1, weeks + 1))]
    later = [end for end in ends if (end[0] - start).days // WEEK_DAYS > week]
    return [
        (repaid, matures)
        for repaid, matures in later
        if instrument.shortest_days <= (matures - on).days <= instrument.longest_days
    ]


def _option(instrument: Instrument, week: int, repaid: date, matures: date, *, start: date) -> _Option:
    on = start + timedelta(days=WEEK_DAYS * week)
    fee = _up(instrument.fee_rate * _PARTS, MILLION)
    year = year_fraction(start=on, end=matures, day_count=instrument.day_count)
    whole = _up(instrument.rate * year.numerator * _PARTS, MILLION * year.denominator)
    ahead, after = (fee + whole, 0) if instrument.form == "purchase" else (fee, whole)
    repaid_week = (repaid - start).days // WEEK_DAYS
    return _Option(instrument, week, on, repaid, matures, repaid_week, ahead, after)


def _cash(options: Sequence[_Option], week: int, need: int) -> Condition:
    """Say that what the drawdowns have brought by the end of a week, and what is left open, is what is needed there."""
    weights = {}
    for nth, option in enumerate(options):
        if option.week <= week:
            repaid = _PARTS + option.after if option.repaid_week <= week else 0
            weights[nth] = _PARTS - option.ahead - repaid
    return Condition({**weights, len(options) + week: _PARTS}, need * _PARTS)


def _once_each(options: Sequence[_Option]) -> list[Condition]:
    """Say that what does not revolve is drawn once: what is drawn on it in all weeks together has one bound."""
    parts: dict[str, list[int]] = defaultdict(list)
    most = {option.instrument.name: option.instrument.most_minor for option in options}
    for nth, option in enumerate(options):
        if not option.instrument.revolving:
            parts[option.instrument.name].append(nth)
    return [Condition(dict.fromkeys(those, -1), -most[name]) for name, those in sorted(parts.items())]


def _ends(options: Sequence[_Option], weeks: int) -> list[int]:
    """Return the weeks at whose end a limit can be at its most: those before something is repaid."""
    return sorted({min(option.repaid_week, weeks) - 1 for option in options})


def _limits(options: Sequence[_Option], bounds: Mapping[frozenset[str], int], weeks: int) -> list[Condition]:
    """Say that what is open at a time fits in each limit, and what several bear together in what they have so."""
    found: dict[tuple[tuple[int, int], ...], Condition] = {}
    for names, left in sorted(bounds.items(), key=lambda each: sorted(each[0])):
        for week in _ends(options, weeks):
            weights = {
                nth: -_up(share * option.instrument.exposure_minor * 1_000, option.instrument.most_minor)
                for nth, option in enumerate(options)
                if option.is_open(week) and (share := sum(option.instrument.limits.get(name, 0) for name in names))
            }
            # Limits that the same drawdowns take in the same shares bind by the least of them.
            key = tuple(sorted(weights.items()))
            if weights and (key not in found or found[key].least < -left * _PARTS):
                found[key] = Condition(weights, -left * _PARTS)
    return list(found.values())


def _draw(option: _Option, principal: int) -> Draw:
    instrument = option.instrument
    fee = round_half_even(numerator=principal * instrument.fee_rate, denominator=MILLION)
    exact = interest(
        principal_minor=principal,
        rate=instrument.rate,
        start=option.on,
        end=option.matures_on,
        day_count=instrument.day_count,
    )
    cost = round_half_even(numerator=exact.numerator, denominator=exact.denominator)
    ahead, after = (fee + cost, 0) if instrument.form == "purchase" else (fee, cost)
    return Draw(
        instrument=instrument.name,
        week=option.week,
        on=option.on,
        repaid_on=option.repaid_on,
        matures_on=option.matures_on,
        principal=principal,
        fee=fee,
        interest=cost,
        paid_out=principal - ahead,
        repaid=principal + after,
    )


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
