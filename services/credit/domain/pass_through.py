"""How much of the anchor's credit reaches the firm: its rate against what it would pay standing alone (DOMAIN §4).

Standing alone, a firm borrows on its own grade without cover, chain or anchor, by the same price list, on the same day
and for the same tenor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from services.credit.domain.pricing import Borrower, Price, PricePolicy, TrackRecord, price
from shared.values.money import round_half_even
from shared.values.rates import MILLION

UNSECURED = "none"
# The anchor is asked as a borrower of long standing: no newcomer's surcharge, and none of a small firm's concessions.
_LONG_STANDING = TrackRecord(first_drawn=date.min)


@dataclass(frozen=True, slots=True)
class PassThrough:
    """Three rates in millionths a year: what the firm pays, would pay alone, and the anchor would."""

    offered: int
    stand_alone: int
    anchor: int

    @property
    def passed_through(self) -> int:
        """Return by how much the firm pays less than alone; below zero when the chain costs it more."""
        return self.stand_alone - self.offered

    @property
    def share(self) -> int | None:
        """Return how much of the anchor's advantage over the firm reaches it, in millionths.

        None when the anchor has no advantage: there is nothing to pass on. Below 0 the chain costs more than it
        brings; above 1,000,000 the firm pays less than the anchor would, as where the anchor bears the interest.
        """
        advantage = self.stand_alone - self.anchor
        if advantage <= 0:
            return None
        return round_half_even(numerator=self.passed_through * MILLION, denominator=advantage)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A pass-through with the volume that it is of, in minor units."""

    volume_minor: int
    measured: PassThrough


def stand_alone(
    policy: PricePolicy, *, own_spread: int, record: TrackRecord, size_class: str, on: date, tenor_days: int
) -> Price:
    """Return the price of an unsecured loan to a firm of this grade and record that stands in no chain."""
    alone = Borrower(risk_spread=own_spread, product=UNSECURED, tier=0, record=record, size_class=size_class)
    return price(policy, alone, on=on, tenor_days=tenor_days)


def anchor_rate(policy: PricePolicy, *, anchor_spread: int, on: date, tenor_days: int) -> int:
    """Return what the anchor itself would pay, unsecured, as a large borrower of long standing."""
    asked = stand_alone(
        policy, own_spread=anchor_spread, record=_LONG_STANDING, size_class="", on=on, tenor_days=tenor_days
    )
    return asked.rate


def weigh(parts: Iterable[Weighed]) -> Weighed | None:
    """Return the pass-through of several volumes together: each rate weighted by volume; None without any volume."""
    given = [part for part in parts if part.volume_minor > 0]
    volume = sum(part.volume_minor for part in given)
    if not volume:
        return None

    def mean(rates: Iterable[int]) -> int:
        summed = sum(part.volume_minor * rate for part, rate in zip(given, rates, strict=True))
        return round_half_even(numerator=summed, denominator=volume)

    measured = PassThrough(
        offered=mean(part.measured.offered for part in given),
        stand_alone=mean(part.measured.stand_alone for part in given),
        anchor=mean(part.measured.anchor for part in given),
    )
    return Weighed(volume, measured)
