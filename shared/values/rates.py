"""Rates: integer millionths a year; 43_500 = 4.35%."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar

MILLION = 1_000_000
_RATE = re.compile(r"-?\d{1,3}(?:\.\d{1,6})?", re.ASCII)


class InvalidRate(ValueError):
    """Text that is not a decimal-fraction rate with at most six decimals."""

    code: ClassVar[str] = "invalid_rate"

    def __init__(self, *, text: str) -> None:
        """Keep the refused text (shortened)."""
        self.text = text[:40]
        super().__init__(f"{self.text!r} is not a rate such as 0.043500.")


def parse_rate(text: str) -> int:
    """Return the millionths that a decimal fraction means: "0.043500" → 43_500."""
    if _RATE.fullmatch(text) is None:
        raise InvalidRate(text=text)
    whole, _, decimals = text.lstrip("-").partition(".")
    millionths = int(whole) * MILLION + int(decimals.ljust(6, "0"))
    return -millionths if text.startswith("-") else millionths


@lru_cache(maxsize=4096)
def rate_text(millionths: int) -> str:
    """Return the wire form of a rate: 43_500 → "0.043500"."""
    sign = "-" if millionths < 0 else ""
    whole, rest = divmod(abs(millionths), MILLION)
    return f"{sign}{whole}.{rest:06d}"


def basis_points(millionths: int) -> str:
    """Return a price component in basis points: 43_500 → "435", 43_550 → "435.5"."""
    sign = "-" if millionths < 0 else ""
    whole, rest = divmod(abs(millionths), 100)
    return f"{sign}{whole}" + (f".{rest:02d}".rstrip("0") if rest else "")


def share_of(*, amount: int, millionths: int) -> int:
    """Return the share of an amount, rounded down (advance rates, percentages of a limit)."""
    return amount * millionths // MILLION
