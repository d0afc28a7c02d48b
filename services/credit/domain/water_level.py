"""The pool poured over the lines: r = max(floor, min(ceiling, ⌊λw⌋)) with the greatest λ that fits, to the unit.

Unit k of a line comes at λ = k / w. So what a line gets is settled by order: the first `pool − Σ floors` units by λ, at
one λ by the lines' order. Floats only guess where λ is. A λ = level / 2^shift is then enclosed by exact sums, until
each line has at most one unit between what fits and what does not; those units are taken by exact fractions.
"""

from __future__ import annotations

import numpy as np

from services.credit.domain.wide_integers import Ints, check, compare, scale, total

_TOP = 1 << 63
_WIDER = 4
_SAMPLE = 20_000


def pour(*, pool: int, weight: Ints, floor: Ints, ceiling: Ints) -> Ints:
    """Return what is reserved for each line; the lines come in the order that settles ties. Floors never shrink."""
    for name, values in (("weight", weight), ("floor", floor), ("ceiling", ceiling)):
        check(values, name=name)
    full = np.where(weight > 0, np.maximum(floor, ceiling), floor)
    left = pool - total(floor)
    if left <= 0:
        return floor.copy()
    if total(full - floor) <= left:
        return full
    growing = np.flatnonzero(full > floor)
    reserved = floor.copy()
    reserved[growing] = _rise(left, weight[growing], floor[growing], full[growing])
    return reserved


def _rise(left: int, weight: Ints, low: Ints, high: Ints) -> Ints:
    """Return where lines stand that together rise from `low` by what is left, less than all that is up to `high`."""
    reserved, index = low.copy(), np.arange(low.size)
    while True:
        # At the highest level every line of at least half the greatest weight is full, whatever its ceiling.
        shift = int(weight.max()).bit_length()
        top = np.clip(scale(weight, level=_TOP, shift=shift), low, high)
        taken = total(top - low)
        if taken > left:
            break
        left -= taken
        reserved[index] = top
        is_open = top < high
        index, weight, low, high = index[is_open], weight[is_open], top[is_open], high[is_open]
    left, low, high = _enclose(left, weight, low, top, shift)
    low[_first(left, weight, low, high)] += 1
    reserved[index] = low
    return reserved


def _enclose(left: int, weight: Ints, low: Ints, high: Ints, shift: int) -> tuple[int, Ints, Ints]:
    """Raise `low` and lower `high` until no line has more than one unit between them; return what is left then."""
    settled, index = low.copy(), np.arange(low.size)
    beyond = high.copy()
    below, above = 0, _TOP
    level, margin = int(_guess(left, weight, low, high) * 2.0**shift), 1
    while int((high - low).max()) > 1:
        if not below < level < above:
            level = (below + above) // 2
        at = np.clip(scale(weight, level=level, shift=shift), low, high)
        taken = total(at - low)
        # Where λ is if all lines go on growing from here; a little further, so that it is enclosed.
        slope = float(weight[(low < at) & (at < high)].sum(dtype=np.float64)) or float(weight.sum(dtype=np.float64))
        step = int((left - taken) * 2.0**shift / slope)
        is_below = taken <= left
        if is_below:
            left, low, below = left - taken, at, level
        else:
            high, above = at, level
        settled[index], beyond[index] = low, high
        is_open = low < high
        if 2 * np.count_nonzero(is_open) < is_open.size:
            index, weight, low, high = index[is_open], weight[is_open], low[is_open], high[is_open]
        is_close = above - below <= 2 * margin
        level = (below + above) // 2 if is_close else level + step + (margin if is_below else -margin)
        margin *= _WIDER
    return left, settled, beyond


def _first(left: int, weight: Ints, low: Ints, high: Ints) -> Ints:
    """Return the lines whose one next unit is among the first by λ, at one λ by order; there are more than are left."""
    pending = np.flatnonzero(low < high)
    taken: list[Ints] = []
    while left > 0:
        unit, weights = low[pending] + 1, weight[pending]
        nth = int(np.argpartition(unit / weights, left - 1)[left - 1])
        is_sooner, is_same = compare(unit, weights, with_nth=nth)
        sooner, same = pending[is_sooner], pending[is_same]
        if sooner.size >= left:
            pending = sooner
            continue
        taken += [sooner, same[: left - sooner.size]]
        left -= sooner.size + same.size
        pending = pending[~(is_sooner | is_same)]
    return np.concatenate(taken) if taken else pending[:0]


def _guess(left: int, weight: Ints, low: Ints, high: Ints) -> float:
    """Return about the λ at which undivided shares take what is left: the first corner beyond it, and a straight back.

    A line grows by its weight from the corner where λw passes its low to that where it is full. Of many lines a
    sample tells.
    """
    room = float(total(high - low))
    every = max(1, weight.size // _SAMPLE)
    weight, low, high = weight[::every], low[::every], high[::every]
    share = left * (float(total(high - low)) / room)
    heavy = weight.astype(np.float64)
    corners = np.concatenate([low / heavy, high / heavy])
    order = np.argsort(corners)
    corners = corners[order]
    slopes = np.cumsum(np.concatenate([heavy, -heavy])[order])
    taken = np.cumsum(slopes[:-1] * np.diff(corners))
    nth = min(int(np.searchsorted(taken, share)), taken.size - 1)
    return float(corners[nth + 1] - (taken[nth] - share) / slopes[nth]) if slopes[nth] > 0 else float(corners[nth + 1])
