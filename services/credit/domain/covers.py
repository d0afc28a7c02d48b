"""Cover beside the documents: collateral and guarantees, what they carry, and whose loan each yuan of them secures.

All of a firm's lines share it, each yuan once (DOMAIN §3). Amounts are minor units of one currency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import ClassVar, Literal

from services.credit.domain.pricing import completed_months
from shared.values.rates import MILLION, share_of

Kind = Literal["building", "instrument", "equipment", "guarantee"]


class CoverState(StrEnum):
    """Where a pledge or guarantee stands; only a registered one carries anything."""

    PROPOSED = "proposed"
    VALUED = "valued"
    REGISTERED = "registered"
    RELEASED = "released"
    ENFORCED = "enforced"


class CoverStep(StrEnum):
    """What can be done to it."""

    VALUE = "value"
    REGISTER = "register"
    RELEASE = "release"
    ENFORCE = "enforce"


_NEXT: Mapping[tuple[CoverState, CoverStep], CoverState] = {
    (CoverState.PROPOSED, CoverStep.VALUE): CoverState.VALUED,
    (CoverState.PROPOSED, CoverStep.RELEASE): CoverState.RELEASED,
    (CoverState.VALUED, CoverStep.VALUE): CoverState.VALUED,
    (CoverState.VALUED, CoverStep.REGISTER): CoverState.REGISTERED,
    (CoverState.VALUED, CoverStep.RELEASE): CoverState.RELEASED,
    (CoverState.REGISTERED, CoverStep.VALUE): CoverState.REGISTERED,
    (CoverState.REGISTERED, CoverStep.RELEASE): CoverState.RELEASED,
    (CoverState.REGISTERED, CoverStep.ENFORCE): CoverState.ENFORCED,
}


class CoverStepNotPossible(Exception):
    """A step does not fit where the cover stands."""

    code: ClassVar[str] = "cover_step_not_possible"

    def __init__(self, *, cover_id: str, step: str, reason: str) -> None:
        """Keep the cover, the step and why not."""
        self.cover_id = cover_id
        self.step = step
        self.reason = reason
        super().__init__(f"The cover {cover_id} does not go that step ({step}): {reason}.")


def after(state: CoverState, step: CoverStep, *, cover_id: str) -> CoverState:
    """Return where a step leads; CoverStepNotPossible where it does not fit."""
    following = _NEXT.get((state, step))
    if following is None:
        raise CoverStepNotPossible(cover_id=cover_id, step=step, reason=f"it_is_{state}")
    return following


@dataclass(frozen=True, slots=True)
class Haircuts:
    """One version of what is taken off a value: by kind, steps of (completed months since the valuation, share)."""

    version: str
    steps: Mapping[str, Sequence[tuple[int, int]]]

    def carried(self, kind: str, *, value_minor: int, valued_on: date, on: date) -> int:
        """Return what is left of a value after its haircut, rounded down; nothing of one valued in the future."""
        if valued_on > on:
            return 0
        months = completed_months(start=valued_on, end=on)
        haircut = next((share for since, share in reversed(self.steps[kind]) if since <= months), MILLION)
        return share_of(amount=value_minor, millionths=MILLION - haircut)


@dataclass(frozen=True, slots=True)
class Cover:
    """A charge on an asset, or a guarantee: who is first in rank is paid first, after the charges of others.

    `secured_minor` is the most that the charge secures, `prior_minor` what others' charges take before any of ours.
    It secures the firm's loans on every line, or on those in `line_ids` only.
    """

    cover_id: str
    asset: str
    kind: Kind
    state: CoverState
    value_minor: int
    valued_on: date | None
    prior_minor: int
    rank: int
    secured_minor: int
    valid_until: date
    line_ids: frozenset[str] | None = None

    def secures(self, line_id: str) -> bool:
        """Return whether loans on a line are secured."""
        return self.line_ids is None or line_id in self.line_ids


def lending_values(covers: Iterable[Cover], haircuts: Haircuts, *, on: date) -> dict[str, int]:
    """Return what each cover carries on a day: 0 unless it is registered and valid.

    Charges on one asset share it by rank: where their valuations differ the least counts, of prior charges the most.
    """
    found: dict[str, int] = {}
    assets: dict[str, list[tuple[Cover, int]]] = defaultdict(list)
    for cover in covers:
        found[cover.cover_id] = 0
        if cover.state is CoverState.REGISTERED and cover.valued_on is not None and on <= cover.valid_until:
            left = haircuts.carried(cover.kind, value_minor=cover.value_minor, valued_on=cover.valued_on, on=on)
            assets[cover.asset].append((cover, left))
    for charges in assets.values():
        left = max(0, min(value for _, value in charges) - max(cover.prior_minor for cover, _ in charges))
        for cover, _ in sorted(charges, key=lambda each: (each[0].rank, each[0].cover_id)):
            found[cover.cover_id] = min(cover.secured_minor, left)
            left -= found[cover.cover_id]
    return found


@dataclass(frozen=True, slots=True)
class Need:
    """A loan and what its documents do not carry of it."""

    drawdown_id: str
    line_id: str
    minor: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """Which covers secure which loan with how much, and what is left of each cover."""

    secured: Mapping[str, Mapping[str, int]]
    left: Mapping[str, int]

    def of_loan(self, drawdown_id: str) -> int:
        """Return how much of a loan is secured."""
        return sum(self.secured.get(drawdown_id, {}).values())

    def support(self, covers: Iterable[Cover], *, line_id: str) -> int:
        """Return what a line's next loan could still be secured with; other lines of the firm could take it first."""
        return sum(self.left.get(cover.cover_id, 0) for cover in covers if cover.secures(line_id))


def allocate(covers: Iterable[Cover], values: Mapping[str, int], needs: Iterable[Need]) -> Allocation:
    """Give each loan, the oldest first, what its documents lack, of the cover that secures the fewest lines first.

    Each yuan secures one loan. It depends on the ids alone, never on the order in which things are given.
    """
    by_choice = sorted(covers, key=lambda cover: (_breadth(cover), cover.cover_id))
    left = {cover.cover_id: values.get(cover.cover_id, 0) for cover in by_choice}
    secured: dict[str, dict[str, int]] = {}
    for need in sorted(needs, key=lambda each: each.drawdown_id):
        open_minor, parts = need.minor, {}
        for cover in by_choice:
            part = min(open_minor, left[cover.cover_id]) if cover.secures(need.line_id) else 0
            if part > 0:
                parts[cover.cover_id] = part
                left[cover.cover_id] -= part
                open_minor -= part
        secured[need.drawdown_id] = parts
    return Allocation(secured, left)


def _breadth(cover: Cover) -> tuple[bool, int]:
    return cover.line_ids is None, len(cover.line_ids or ())
