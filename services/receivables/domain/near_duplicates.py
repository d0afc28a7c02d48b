"""The same claim in another guise: another number, another registration of its seller, another format (R8).

The duplicate key decides what cannot stand twice. What is told here only makes a person look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Literal

Guise = Literal["number_looks_alike", "number_one_apart", "same_day_and_obligor"]

_DIGITS = re.compile(r"\d+")
# What an eye or a scanner takes for each other; in a folded number, so small letters only.
_CONFUSED = str.maketrans("oqilszb", "0011528")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How near is near, in days of issue dates and in numbers of a series; a version of the policy."""

    alike_days: int
    same_due_days: int
    one_apart_days: int
    series_gap: int
    at_most: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Tolerance:
        """Return the tolerance that a policy's values state."""
        return cls(**{name: int(values[name]) for name in cls.__slots__})

    @property
    def days(self) -> int:
        """Return how far apart issue dates can be at all."""
        return max(self.alike_days, self.same_due_days, self.one_apart_days)


@dataclass(frozen=True, slots=True)
class Stated:
    """What an invoice states, of one amount: the rest of what tells it from another."""

    receivable_id: str
    seller_id: str
    obligor_id: str
    number_key: str
    issue_date: date
    due_date: date
    syntax: str
    order_key: str


def guise_of(new: Stated, other: Stated, *, tolerance: Tolerance, twins: Mapping[str, frozenset[str]]) -> Guise | None:
    """Return how a standing invoice of the same amount could be the new one, None when it could not.

    `twins` names the other registrations of a firm. Two of one seller with one number are the duplicate key's business,
    in whatever year.
    """
    same_seller = new.seller_id == other.seller_id
    if not same_seller and other.seller_id not in twins.get(new.seller_id, ()):
        return None
    if same_seller and new.number_key == other.number_key:
        return None
    apart = abs((new.issue_date - other.issue_date).days)
    same_due = new.due_date == other.due_date
    if counts_on(new, other, tolerance=tolerance):
        return None
    near = apart <= tolerance.alike_days or (same_due and apart <= tolerance.same_due_days)
    if near and _looks_alike(new.number_key, other.number_key):
        return "number_looks_alike"
    if apart <= tolerance.one_apart_days and is_one_apart(_seen(new.number_key), _seen(other.number_key)):
        return "number_one_apart"
    same_obligor = new.obligor_id == other.obligor_id or other.obligor_id in twins.get(new.obligor_id, ())
    other_trade = bool(new.order_key and other.order_key) and new.order_key != other.order_key
    return "same_day_and_obligor" if apart == 0 and same_obligor and not other_trade else None


def near_duplicates(
    new: Stated, standing: Iterable[Stated], *, tolerance: Tolerance, twins: Mapping[str, frozenset[str]]
) -> list[tuple[str, Guise]]:
    """Return the standing invoices that the new one may be again, each with its guise, by id.

    What counts on from one of the same day belongs to that one's sale: day and amount alone say nothing then.
    """
    others = list(standing)
    found = ((other.receivable_id, guise_of(new, other, tolerance=tolerance, twins=twins)) for other in others)
    near = sorted((receivable_id, guise) for receivable_id, guise in found if guise is not None)
    if any(new.issue_date == other.issue_date and counts_on(new, other, tolerance=tolerance) for other in others):
        return [each for each in near if each[1] != "same_day_and_obligor"]
    return near


def counts_on(new: Stated, other: Stated, *, tolerance: Tolerance) -> bool:
    """Return whether one program wrote both, one after the other: same seller and syntax, numbers of a series."""
    one_hand = new.seller_id == other.seller_id and new.syntax == other.syntax
    return one_hand and _is_series(new.number_key, other.number_key, tolerance.series_gap)


def is_one_apart(one: str, other: str) -> bool:
    """Return whether one typing error makes the texts of each other: a letter more, less, another, or two swapped."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    start = next((place for place, letter in enumerate(one) if letter != other[place]), len(one))
    if len(one) < len(other):
        return one[start:] == other[start + 1 :]
    swapped = one[start : start + 2] == other[start : start + 2][::-1]
    return one[start + 1 :] == other[start + 1 :] or (swapped and one[start + 2 :] == other[start + 2 :])


@lru_cache(maxsize=4096)
def _form(number_key: str) -> tuple[str, tuple[int, ...]]:
    """Return a number without its digits, and its groups of digits as numbers."""
    return _DIGITS.sub("#", number_key), tuple(int(group) for group in _DIGITS.findall(number_key))


@lru_cache(maxsize=4096)
def _seen(number_key: str) -> str:
    """Return a number as a hurried eye reads it."""
    return number_key.translate(_CONFUSED)


def _looks_alike(one: str, other: str) -> bool:
    digits = _form(one)[1]
    return (bool(digits) and digits == _form(other)[1]) or _seen(one) == _seen(other)


def _is_series(one: str, other: str, gap: int) -> bool:
    """Return whether two numbers count on from each other: one form, the last group of digits a little further."""
    (form, groups), (other_form, other_groups) = _form(one), _form(other)
    if form != other_form or not groups or groups[:-1] != other_groups[:-1]:
        return False
    return 0 < abs(groups[-1] - other_groups[-1]) <= gap
