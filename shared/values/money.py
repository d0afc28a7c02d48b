"""Money: integer minor units with their ISO 4217 currency (R3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar

from babel.core import get_global
from babel.numbers import get_currency_precision
from pydantic import BaseModel, ConfigDict, Field

# bigint holds 9.2e18; sums over many rows must still fit, so one amount may be a thousandth of that.
MAX_MINOR = 9_000_000_000_000_000
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.(\d{1,4}))?", re.ASCII)
_NOT_MONEY = frozenset({"XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XBA", "XBB", "XBC", "XBD", "XSU", "XUA", "XDR"})


class InvalidAmount(ValueError):
    """An amount that is not a decimal string its currency can hold."""

    code: ClassVar[str] = "invalid_amount"

    def __init__(self, *, amount: str, reason: str) -> None:
        """Keep the refused text (shortened) and the reason."""
        self.amount = amount[:40]
        self.reason = reason
        super().__init__(f"The amount {self.amount!r} {reason}.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross processes with the keywords it was made with."""
        return partial(InvalidAmount, amount=self.amount, reason=self.reason), ()


class UnknownCurrency(ValueError):
    """A currency code that ISO 4217 does not list as money."""

    code: ClassVar[str] = "unknown_currency"

    def __init__(self, *, currency: str) -> None:
        """Keep the refused code (shortened)."""
        self.currency = currency[:12]
        super().__init__(f"{self.currency!r} is not an ISO 4217 currency.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross processes with the keyword it was made with."""
        return partial(UnknownCurrency, currency=self.currency), ()


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met where one currency rules."""

    code: ClassVar[str] = "currency_mismatch"

    def __init__(self, *, expected: str, found: str) -> None:
        """Keep both codes."""
        self.expected = expected
        self.found = found
        super().__init__(f"Expected {expected}, found {found}.")


@lru_cache(maxsize=1)
def _currencies() -> frozenset[str]:
    return frozenset(get_global("all_currencies")) - _NOT_MONEY


@lru_cache(maxsize=512)
def minor_digits(currency: str) -> int:
    """Return how many decimals the currency's minor unit has (CNY 2, JPY 0); UnknownCurrency otherwise."""
    if currency not in _currencies():
        raise UnknownCurrency(currency=currency)
    return int(get_currency_precision(currency))


def round_half_even(*, numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded half to even: the platform's one rounding (R3)."""
    if denominator <= 0:
        message = "the denominator must be positive"
        raise ValueError(message)
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def parse_minor(*, amount: str, currency: str) -> int:
    """Return the minor units that a decimal string means; InvalidAmount when it has none, or too many decimals."""
    digits = minor_digits(currency)
    match = _DECIMAL.fullmatch(amount)
    if match is None:
        raise InvalidAmount(amount=amount, reason="is not a plain decimal number")
    whole, _, decimals = amount.partition(".")
    if len(decimals.rstrip("0")) > digits:
        raise InvalidAmount(amount=amount, reason=f"has more decimals than {currency} holds")
    decimals = decimals[:digits].ljust(digits, "0")
    minor = int(whole.lstrip("-") + decimals)
    if minor > MAX_MINOR:
        raise InvalidAmount(amount=amount, reason="is too large")
    return -minor if amount.startswith("-") else minor


def minor_text(*, amount_minor: int, currency: str) -> str:
    """Return the decimal string of minor units: 100000 CNY → "1000.00"."""
    digits = minor_digits(currency)
    sign = "-" if amount_minor < 0 else ""
    text = str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount of one currency, in minor units; may be negative only where a rule says so."""

    amount_minor: int
    currency: str

    @classmethod
    def parse(cls, amount: str, currency: str) -> Money:
        """Return the money a decimal string and a code mean."""
        return cls(parse_minor(amount=amount, currency=currency), currency)

    def wire(self) -> dict[str, str]:
        """Return the shape used in HTTP bodies and events: strings, never JSON numbers."""
        return {"amount": minor_text(amount_minor=self.amount_minor, currency=self.currency), "currency": self.currency}

    def __add__(self, other: Money) -> Money:
        """Return the sum; CurrencyMismatch across currencies."""
        self._same(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        """Return the difference; CurrencyMismatch across currencies."""
        self._same(other)
        return Money(self.amount_minor - other.amount_minor, self.currency)

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(expected=self.currency, found=other.currency)


class Amount(BaseModel):
    """Money on the wire: a decimal string and its ISO 4217 code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: str = Field(max_length=24, examples=["1000.00"])
    currency: str = Field(pattern=r"^[A-Z]{3}$", examples=["CNY"])

    def money(self) -> Money:
        """Return the value; InvalidAmount or UnknownCurrency when the strings mean none."""
        return Money.parse(self.amount, self.currency)

    @property
    def minor(self) -> int:
        """Return the minor units; InvalidAmount or UnknownCurrency when the strings mean none."""
        return parse_minor(amount=self.amount, currency=self.currency)

    @classmethod
    def of(cls, *, amount_minor: int, currency: str) -> Amount:
        """Return the wire shape of minor units."""
        return cls(amount=minor_text(amount_minor=amount_minor, currency=currency), currency=currency)
