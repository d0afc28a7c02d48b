"""Cover beside the documents: collateral and guarantees, what they carry, and whose loan each yuan of them secures.

All of a firm's lines share it, each yuan once (DOMAIN §3). Amounts are minor units of one currency.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, Literal

from services.credit.domain.pricing import completed_months
from shared.values.rates import MILLION, share_of

Kind = Literal["building", "instrument", "equipment", "goods", "guarantee"]


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
    lines: Mapping[str, str]

    def of_loan(self, drawdown_id: str) -> int:
        """Return how much of a loan is secured."""
        return sum(self.secured.get(drawdown_id, {}).values())

    def support(self, covers: Iterable[Cover], *, line_ids: Iterable[str]) -> int:
        """Return what the next loans of some lines could be secured with together; others could take it first."""
        most = sum(self.left.values())
        again = _Sharing(covers, self.left, self.secured, self.lines)
        return sum(again.secure(f"next on {line_id}", line_id, most) for line_id in line_ids)


def allocate(covers: Iterable[Cover], values: Mapping[str, int], needs: Iterable[Need]) -> Allocation:
    """Give each loan, the oldest first, what its documents lack, of the cover that secures the fewest lines first.

    Each yuan secures one loan. What an older loan has it keeps, though of another cover where a younger one can be
    secured by nothing else: no need stays open that any allocation could fill beside the older ones. It depends on the
    ids alone, never on the order in which things are given.
    """
    sharing = _Sharing(covers, values, {}, {})
    for need in sorted(needs, key=lambda each: each.drawdown_id):
        sharing.secure(need.drawdown_id, need.line_id, need.minor)
    return Allocation(sharing.secured, sharing.left, sharing.lines)


def overdrawn(covers: Iterable[Cover], values: Mapping[str, int], needs: Iterable[Need]) -> frozenset[str]:
    """Return lines whose needs are together more than all that secures any of them; none when each can be secured."""
    sharing = _Sharing(covers, values, {}, {})
    for need in needs:
        if sharing.secure(need.drawdown_id, need.line_id, need.minor) < need.minor:
            return sharing.rivals(need.drawdown_id)
    return frozenset()


class _Sharing:
    """An allocation in the making: a flow from loans to covers, grown along its shortest chains."""

    def __init__(
        self,
        covers: Iterable[Cover],
        left: Mapping[str, int],
        secured: Mapping[str, Mapping[str, int]],
        lines: Mapping[str, str],
    ) -> None:
        self._covers = sorted(covers, key=lambda cover: (_breadth(cover), cover.cover_id))
        self.left = {cover.cover_id: left.get(cover.cover_id, 0) for cover in self._covers}
        self.secured = {loan: dict(parts) for loan, parts in secured.items()}
        self.lines = dict(lines)

    def secure(self, loan: str, line_id: str, minor: int) -> int:
        """Secure a loan with as much as it needs and there can be; return how much that is."""
        self.lines[loan] = line_id
        self.secured.setdefault(loan, {})
        found = 0
        while found < minor and (chain := self._chain(loan, {})):
            last = chain[-1][1]
            # Each loan on the way takes from the next cover what it gives up of the one before.
            passed = [self.secured[taker][cover] for (_, cover), (taker, _) in pairwise(chain)]
            part = min(minor - found, self.left[last], *passed)
            for (_, cover), (taker, _) in pairwise(chain):
                self._move(taker, cover, -part)
            for taker, cover in chain:
                self._move(taker, cover, part)
            self.left[last] -= part
            found += part
        return found

    def rivals(self, loan: str) -> frozenset[str]:
        """Return the lines that hold all there is of what could secure this loan, and need it; its own among them."""
        came: dict[str, tuple[str, str | None]] = {}
        self._chain(loan, came)
        holders = {loan, *(each for each, parts in self.secured.items() if came.keys() & parts.keys())}
        return frozenset(self.lines[each] for each in holders)

    def _move(self, loan: str, cover: str, by: int) -> None:
        parts = self.secured[loan]
        parts[cover] = parts.get(cover, 0) + by
        if not parts[cover]:
            del parts[cover]

    def _chain(self, loan: str, came: dict[str, tuple[str, str | None]]) -> list[tuple[str, str]]:
        """Return (loan, cover) pairs from this loan to a cover with something left; empty when there is none.

        `came` is then every cover that it reaches, and by whom.
        """
        waiting = deque(self._reach(loan, None, came))
        while waiting:
            cover = waiting.popleft()
            if self.left[cover]:
                chain, at = [], cover
                while at is not None:
                    taker, before = came[at]
                    chain.append((taker, at))
                    at = before  # type: ignore[assignment] # the first has none before it
                return chain[::-1]
            for other in sorted(each for each, parts in self.secured.items() if cover in parts):
                waiting += self._reach(other, cover, came)
        return []

    def _reach(self, loan: str, before: str | None, came: dict[str, tuple[str, str | None]]) -> list[str]:
        found = []
        for cover in self._covers:
            if cover.cover_id not in came and cover.secures(self.lines[loan]):
                came[cover.cover_id] = (loan, before)
                found.append(cover.cover_id)
        return found


def _breadth(cover: Cover) -> tuple[bool, int]:
    return cover.line_ids is None, len(cover.line_ids or ())
