"""The price of a drawdown: every component named, never below the floor, the all-in rate with all fees (DOMAIN §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import lru_cache
from typing import ClassVar

from shared.values.money import round_half_even
from shared.values.periods import DayCount, interest, year_fraction
from shared.values.rates import MILLION, share_of

LONGEST_SHORT_TENOR_DAYS = 365
_MONTHS = 12
# A table of steps: (from how much on, the rate there), rising; below the first step the rate is 0.
Steps = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class PricePolicy:
    """One version of the bank's price list; rates in millionths a year, the fee once on the principal.

    It is itself and equal to no other, so that prices can be remembered by it.
    """

    version: str
    lpr_version: str
    lpr_1y: int
    lpr_5y: int
    product: Mapping[str, int]
    tier: Sequence[int]
    life_cycle: Steps
    repeat_concession: Steps
    inclusive_concession: Mapping[str, int]
    floor: int
    fee_rate: int
    penalty_multiplier: int
    day_count: DayCount
    quote_minutes: int


def completed_months(*, start: date, end: date) -> int:
    """Return the whole months from a day to a later one."""
    return (end.year - start.year) * _MONTHS + end.month - start.month - (end.day < start.day)


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """How a firm has drawn from the bank so far: on which date first, and how many drawdowns it repaid.

    What was repaid on the last date is told apart, because it counts from the day after: within a business day a
    firm's price does not hang on which of its payments came first.
    """

    first_drawn: date | None = None
    repaid: int = 0
    last_repaid: date | None = None
    repaid_that_day: int = 0

    def months(self, *, on: date) -> int:
        """Return the completed months since the first drawdown; 0 for who never drew."""
        first = self.first_drawn
        if first is None or first > on:
            return 0
        return completed_months(start=first, end=on)

    def repaid_before(self, on: date) -> int:
        """Return how many drawdowns were repaid before a business date."""
        today = self.last_repaid is not None and self.last_repaid >= on
        return self.repaid - (self.repaid_that_day if today else 0)


@dataclass(frozen=True, slots=True)
class Borrower:
    """What the price needs to know of who draws, and on what; tier 0 stands in no chain."""

    risk_spread: int
    product: str
    tier: int
    record: TrackRecord
    size_class: str


class NothingToLend(ValueError):
    """Interest and cost would eat the whole payable."""

    code: ClassVar[str] = "nothing_to_lend"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("The document leaves nothing to lend against.")


@dataclass(frozen=True, slots=True)
class Price:
    """The rate with its components, in millionths a year, in the order in which they add up."""

    components: tuple[tuple[str, int], ...]
    rate: int
    penalty_rate: int


def step_at(steps: Steps, reached: int) -> int:
    """Return the rate of the last step that was reached."""
    return next((rate for since, rate in reversed(steps) if since <= reached), 0)


@lru_cache(maxsize=4096)
def price(policy: PricePolicy, borrower: Borrower, *, on: date, tenor_days: int) -> Price:
    """Return LPR + risk + product + tier + life-cycle − repeat − inclusive concession, not below the floor."""
    lpr = ("lpr_1y", policy.lpr_1y) if tenor_days <= LONGEST_SHORT_TENOR_DAYS else ("lpr_5y", policy.lpr_5y)
    components = [
        lpr,
        ("risk", borrower.risk_spread),
        ("product", policy.product[borrower.product]),
        ("tier", policy.tier[min(borrower.tier, len(policy.tier)) - 1] if borrower.tier else 0),
        ("life_cycle", step_at(policy.life_cycle, borrower.record.months(on=on))),
        ("repeat_concession", step_at(policy.repeat_concession, borrower.record.repaid_before(on))),
        ("inclusive_concession", policy.inclusive_concession.get(borrower.size_class, 0)),
    ]
    summed = sum(rate for _, rate in components)
    if summed < policy.floor:
        components.append(("floor", policy.floor - summed))
    rate = max(summed, policy.floor)
    return Price(tuple(components), rate, share_of(amount=rate, millionths=policy.penalty_multiplier))


def largest_principal(
    *, payable_minor: int, rate: int, start: date, end: date, day_count: DayCount = DayCount.ACT_360
) -> int:
    """Return the most that can be lent when the payable alone covers principal + interest to the latest maturity."""
    growth = _growth(rate, start, end, day_count)
    return payable_minor * growth.denominator // growth.numerator


@lru_cache(maxsize=4096)
def _growth(rate: int, start: date, end: date, day_count: DayCount) -> Fraction:
    return 1 + Fraction(rate, MILLION) * year_fraction(start=start, end=end, day_count=day_count)


def discount(*, face_minor: int, rate: int, start: date, end: date, day_count: DayCount) -> int:
    """Return what a purchase keeps of the face: simple interest on it, rounded half-even."""
    exact = interest(principal_minor=face_minor, rate=rate, start=start, end=end, day_count=day_count)
    return round_half_even(numerator=exact.numerator, denominator=exact.denominator)


def fee(policy: PricePolicy, *, principal_minor: int) -> int:
    """Return the arrangement fee, rounded half-even."""
    return round_half_even(numerator=principal_minor * policy.fee_rate, denominator=MILLION)


def all_in_rate(
    *, principal_minor: int, interest_minor: int, fee_minor: int, tenor_days: int, lent_days: int | None = None
) -> int:
    """Return interest and every fee as one simple yearly rate on what the borrower has, in millionths (365 days).

    Repaid by instalments it has less and less: `lent_days` is Σ outstanding principal × days.
    """
    has_days = (principal_minor * tenor_days if lent_days is None else lent_days) - fee_minor * tenor_days
    if principal_minor <= fee_minor or tenor_days <= 0 or has_days <= 0:
        raise NothingToLend
    cost = (interest_minor + fee_minor) * 365 * MILLION
    return round_half_even(numerator=cost, denominator=has_days)
