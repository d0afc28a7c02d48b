"""What a rating must say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from shared.values.rates import MILLION

GRADES = ("AAA", "AA", "A", "BBB", "BB", "B", "CCC", "D")
HIGHEST_MULTIPLIER = 2 * MILLION
HIGHEST_SPREAD = MILLION // 5


class InvalidRating(ValueError):
    """A rating that does not hang together."""

    code: ClassVar[str] = "invalid_rating"

    def __init__(self, *, reason: str) -> None:
        """Keep the reason."""
        self.reason = reason
        super().__init__(reason)


def check_rating(*, grade: str, cap_minor: int, multiplier: int, risk_spread: int, reasons: Sequence[str]) -> None:
    """Refuse an unknown grade, a negative cap, factors out of bounds, and a rating without reasons; InvalidRating."""
    if grade not in GRADES:
        raise InvalidRating(reason=f"The grade is one of {', '.join(GRADES)}.")
    if cap_minor < 0:
        raise InvalidRating(reason="A cap is not below zero.")
    if grade == "D" and cap_minor > 0:
        raise InvalidRating(reason="Who is in default gets no cap.")
    if not 0 <= multiplier <= HIGHEST_MULTIPLIER:
        raise InvalidRating(reason="The multiplier lies between 0 and 2.")
    if not 0 <= risk_spread <= HIGHEST_SPREAD:
        raise InvalidRating(reason="The spread lies between 0 and 0.2.")
    if not any(reason.strip() for reason in reasons):
        raise InvalidRating(reason="Say why: a rating has reasons.")
