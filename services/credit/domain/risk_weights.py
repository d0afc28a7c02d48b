"""What our policy says of grades, and the loss it expects: by who owes, and by what secures the loan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.values.money import round_half_even
from shared.values.rates import MILLION

IN_DEFAULT = "D"


@dataclass(frozen=True, slots=True)
class Grade:
    """What our policy says of a grade: factors of cap and multiplier, probability of default; in millionths."""

    grade: str
    cap: int
    multiplier: int
    default: int


@dataclass(frozen=True, slots=True)
class RiskWeights:
    """Our policy's grades, best first, and the share that is lost in default: by recourse, and by kind of cover."""

    grades: tuple[Grade, ...]
    unrated_default: int
    loss_with_recourse: int
    loss_without_recourse: int
    loss_secured: Mapping[str, int] = field(default_factory=dict)
    version: str = ""

    def find(self, grade: str | None) -> Grade | None:
        """Return what the policy says of a grade, if it knows it."""
        return next((each for each in self.grades if each.grade == grade), None)

    def moved(self, grade: Grade, *, notches: int) -> Grade:
        """Return the grade so many notches lower; beyond the ends of the list there is none."""
        return self.grades[min(max(0, self.grades.index(grade) + notches), len(self.grades) - 1)]

    def default_of(self, grade: str | None) -> int:
        """Return how likely a firm of this grade defaults; unrated and unknown ones have a rate of their own."""
        found = self.find(grade)
        return self.unrated_default if found is None else found.default


def rescaled(amount: int, *, before: int, after: int) -> int:
    """Return an amount that goes with one factor as it would be with another, rounded down; from zero it stays."""
    return amount * after // before if before else amount


def weighed_loss(
    used: int, *, grade: str | None, has_recourse: bool, secured: Mapping[str, int], weights: RiskWeights
) -> int:
    """Return use × probability of default × share lost, in millionths of millionths of a minor unit.

    What covers secure is lost at the share of their kind, never at more than without them; the rest by recourse.
    """
    usual = weights.loss_with_recourse if has_recourse else weights.loss_without_recourse
    lost, rest = 0, used
    for kind, minor in secured.items():
        part = min(minor, rest)
        lost += part * min(usual, weights.loss_secured.get(kind, usual))
        rest -= part
    return (lost + rest * usual) * weights.default_of(grade)


def rounded_loss(weighed: int) -> int:
    """Return weighed losses, summed, in minor units: rounded once (R3)."""
    return round_half_even(numerator=weighed, denominator=MILLION * MILLION)
