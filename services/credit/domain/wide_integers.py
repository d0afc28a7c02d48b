"""Exact integers over numpy arrays where a product needs more than 64 bits: no float decides a unit.

Everything that comes in is at least 0 and below `BOUND`; who takes in numbers from outside calls `check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from shared.values.rates import MILLION

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
_Words = NDArray[np.uint64]
BOUND = 1 << 62
_WORD = (1 << 63) - 1
_HALF = (1 << 32) - 1
# Below it a quotient guessed by floats is off by so little that the rest it leaves fits into 64 bits.
_SURE = 1 << 56
_PART = 1 << 14


class TooWide(OverflowError):
    """A number that is negative, or does not leave the room that exact arithmetic in 64 bits needs."""

    code: ClassVar[str] = "too_wide"

    def __init__(self, *, name: str) -> None:
        """Keep what is too wide."""
        self.name = name
        super().__init__(f"{name}: every number must be at least 0 and below 2^62.")


def check(values: Ints, *, name: str) -> Ints:
    """Return the values, each of which has its room; TooWide otherwise."""
    if values.size and (int(values.min()) < 0 or int(values.max()) >= BOUND):
        raise TooWide(name=name)
    return values


def column(values: Iterable[int], *, name: str) -> Ints:
    """Return Python's integers as an array; TooWide where one has no room."""
    try:
        return check(np.fromiter(values, dtype=np.int64), name=name)
    except OverflowError as error:
        raise TooWide(name=name) from error


def total(values: Ints) -> int:
    """Return the sum, however large."""
    if not values.size or int(values.max()) <= _WORD // values.size:
        return int(values.sum())
    return (int((values >> 32).sum()) << 32) + int((values & _HALF).sum())


def totals(values: Ints, *, of: NDArray[np.integer], count: int) -> Ints:
    """Return the sums of the values that go to each of so many numbers; TooWide where one has no room."""
    sums = np.zeros(count, dtype=np.int64)
    if values.size and int(values.max()) > _WORD // values.size:
        rough = np.bincount(of, weights=values.astype(np.float64), minlength=count)
        if float(rough.max()) >= BOUND * (1 - 1e-6):
            raise TooWide(name="a sum")
    np.add.at(sums, of, values)
    return sums


def share_down(amounts: Ints, *, millionths: Ints | int) -> Ints:
    """Return the share of each amount, rounded down; the shares themselves must have their room."""
    whole: Ints = amounts // MILLION
    rest: Ints = (amounts - whole * MILLION) * millionths // MILLION
    return whole * millionths + rest


def pass_on(amounts: Ints, *, reached: Ints, of: Ints) -> Ints:
    """Return ⌊amount × reached / of⌋, where neither amount nor reached is above `of`; 0 of nothing."""
    passed = np.empty(amounts.size, dtype=np.int64)
    for part in _parts(amounts.size):
        passed[part] = _quotient(amounts[part], reached[part], np.maximum(of[part], 1))
    return passed


def _quotient(amounts: Ints, reached: Ints, divisor: Ints) -> Ints:
    if int(divisor.max()) >= _SURE:
        exact: Ints = (amounts.astype(object) * reached.astype(object) // divisor.astype(object)).astype(np.int64)
        return exact
    guess: Ints = (amounts * (reached / divisor)).astype(np.int64)
    # Both products wrap around 2^64; their difference is small, and wraps back.
    correction: Ints = (amounts * reached - guess * divisor) // divisor
    return guess + correction


def _parts(size: int) -> Iterator[slice]:
    """Yield parts that stay in the processor's cache: fresh memory for a million numbers costs more than computing."""
    return (slice(first, first + _PART) for first in range(0, size, _PART))


def scale(weights: Ints, *, level: int, shift: int) -> Ints:
    """Return ⌊level × weight / 2^shift⌋ for a level up to 2^63, a shift of 1 to 63 and weights below 2^shift."""
    scaled = np.empty(weights.size, dtype=np.int64)
    for part in _parts(weights.size):
        high, low = _product(level, weights[part])
        high <<= np.uint64(64 - shift)
        low >>= np.uint64(shift)
        np.bitwise_or(high, low, out=scaled[part].view(np.uint64))
    return scaled


def compare(numerators: Ints, denominators: Ints, *, with_nth: int) -> tuple[Flags, Flags]:
    """Return which of the fractions are less than the nth, and which are equal to it."""
    high, low = _product(int(denominators[with_nth]), numerators)
    other_high, other_low = _product(int(numerators[with_nth]), denominators)
    is_same = high == other_high
    return (high < other_high) | (is_same & (low < other_low)), is_same & (low == other_low)


def _product(one: int, many: Ints) -> tuple[_Words, _Words]:
    """Return the upper and lower 64 bits of one × each of many."""
    words = np.ascontiguousarray(many).view(np.uint64)
    half, bits = np.uint64(_HALF), np.uint64(32)
    one_high, one_low = np.uint64(one >> 32), np.uint64(one & _HALF)
    many_high, many_low = words >> bits, words & half
    high = many_high * one_high
    middle = many_low * one_low
    middle >>= bits
    for cross in (many_high * one_low, many_low * one_high):
        middle += cross & half
        high += cross >> bits
    middle >>= bits
    high += middle
    return high, words * np.uint64(one)
