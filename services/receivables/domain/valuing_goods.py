"""What goods are worth on a day: the valuation that counts, how it falls, what is taken off (DOMAIN §2, R6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, cast

from services.receivables.domain.goods import THOUSAND, Release, UnknownGoodsClass
from services.receivables.domain.readings import Bounds, Observed, bounds_of
from shared.values.policies import Policy
from shared.values.rates import MILLION, parse_rate


@dataclass(frozen=True, slots=True)
class Depreciation:
    """How a valuation falls: straight over `days` down to a residual share, or each day by a share of what is left."""

    method: Literal["straight_line", "per_day"]
    days: int = 0
    residual: int = 0
    rate: int = 0

    def left(self, days: int) -> Fraction:
        """Return the share of a valuation that is left after so many days."""
        return _left(self.method, self.days, self.residual, self.rate, max(0, days))


@lru_cache(maxsize=4096)
def _left(method: str, life: int, residual: int, rate: int, days: int) -> Fraction:
    if method == "per_day":
        return Fraction(MILLION - rate, MILLION) ** days
    return 1 - Fraction(MILLION - residual, MILLION) * Fraction(min(days, life), life)


@dataclass(frozen=True, slots=True)
class GoodsClass:
    """One class of goods: how it falls, how long a valuation counts, its bounds and what is lost outside of them."""

    depreciation: Depreciation
    valuation_days: int
    bounds: Bounds
    excursion: int


@dataclass(frozen=True, slots=True)
class GoodsRules:
    """One version of the policy; shares in millionths."""

    version: str
    classes: Mapping[str, GoodsClass]
    conditions: Mapping[str, int]
    quantity_tolerance: int
    radius_m: int
    release: Release

    def of(self, goods_class: str) -> GoodsClass:
        """Return a class; UnknownGoodsClass when there is none of that name."""
        found = self.classes.get(goods_class)
        if found is None:
            raise UnknownGoodsClass(goods_class=goods_class, known=tuple(sorted(self.classes)))
        return found


def goods_rules(policy: Policy) -> GoodsRules:
    """Return what a version of the policy says."""
    values = policy.values
    return GoodsRules(
        version=policy.version,
        classes={name: _class(each) for name, each in values["classes"].items()},
        conditions={name: parse_rate(text) for name, text in values["conditions"].items()},
        quantity_tolerance=parse_rate(values["quantity_tolerance"]),
        radius_m=values["radius_m"],
        release=values["release"],
    )


def _class(each: Mapping[str, Any]) -> GoodsClass:
    falls = each["depreciation"]
    shares = {name: parse_rate(falls[name]) for name in ("residual", "rate") if name in falls}
    return GoodsClass(
        depreciation=Depreciation(falls["method"], days=falls.get("days", 0), **shares),
        valuation_days=each["valuation_days"],
        bounds=bounds_of(each["bounds"]),
        excursion=parse_rate(each["excursion"]),
    )


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a unit was worth on a day, in minor units, by whom, and in which condition it was seen then, if it was."""

    valued_date: date
    unit_value_minor: int
    source: str
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Lot:
    """What of a receipt is pledged still, in thousandths of its unit."""

    goods_class: str
    condition: str
    pledged_milli: int


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What goods are worth and what of it may be lent against, in minor units; why that is less, or nothing."""

    value_minor: int
    eligible_minor: int
    reasons: tuple[str, ...]
    valued_date: date | None
    policy_version: str


def counting(valuations: Iterable[Valuation], *, on: date) -> Valuation | None:
    """Return the valuation that counts on a day: the latest by then; of one day the lowest, whoever came first."""
    known = [each for each in valuations if each.valued_date <= on]
    return max(known, key=lambda each: (each.valued_date, -each.unit_value_minor, each.source), default=None)


def appraise(
    lot: Lot, valuations: Iterable[Valuation], observed: Observed, rules: GoodsRules, *, on: date
) -> Appraisal:
    """Return what goods are worth on a day, and what of it may be lent against: never more.

    Nothing without a valuation, of one that is too old, and while the goods are not where they should be. Less where
    less is measured than is pledged, for their condition, and once they were outside of their bounds: a valuation of a
    later day has seen them since.
    """
    valuation = counting(valuations, on=on)
    if valuation is None:
        return Appraisal(0, 0, ("not_valued",), None, rules.version)
    kind, age = rules.classes.get(lot.goods_class), (on - valuation.valued_date).days
    condition = valuation.condition or lot.condition
    haircut = rules.conditions.get(condition)
    if kind is None or haircut is None:
        # A later version may drop what was pledged under an earlier one: nothing is lent on it, and the rest goes on.
        return Appraisal(0, 0, ("not_in_policy",), valuation.valued_date, rules.version)
    unit = Fraction(valuation.unit_value_minor, THOUSAND) * kind.depreciation.left(age)
    least = lot.pledged_milli - lot.pledged_milli * rules.quantity_tolerance // MILLION
    short = observed.measured_milli is not None and observed.measured_milli < least
    counted = min(lot.pledged_milli, cast("int", observed.measured_milli)) if short else lot.pledged_milli
    spoilt = observed.excursion_date is not None and observed.excursion_date >= valuation.valued_date
    kept = Fraction(MILLION - haircut, MILLION)
    if spoilt:
        kept *= Fraction(MILLION - kind.excursion, MILLION)
    stale, away = age > kind.valuation_days, observed.in_place is False
    lowering = {
        "valuation_stale": stale,
        "quantity_short": short,
        "out_of_place": away,
        "out_of_bounds": spoilt and kind.excursion > 0,
        f"condition_{condition}": haircut == MILLION,
    }
    eligible = 0 if stale or away else int(counted * unit * kept)
    reasons = tuple(name for name, holds in lowering.items() if holds)
    return Appraisal(int(lot.pledged_milli * unit), eligible, reasons, valuation.valued_date, rules.version)
