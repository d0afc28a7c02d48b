"""What if: hypothetical changes, and what they would do to drawdowns, to firms' liquidity and to expected loss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar, Literal

from shared.values.money import Money, round_half_even
from shared.values.rates import MILLION

IN_DEFAULT = "D"
_SOON_DAYS, _LATER_DAYS = 30, 90


class NotSupposable(ValueError):
    """A change that cannot be supposed of this programme, and why."""

    code: ClassVar[str] = "change_not_supposable"

    def __init__(self, *, nth: int, reason: str) -> None:
        """Keep which change of the list it is, from 1, and the reason."""
        self.nth = nth
        self.reason = reason
        super().__init__(f"Change {nth} cannot be supposed: {reason}.")


@dataclass(frozen=True, slots=True)
class Rated:
    """A firm is rated some notches lower (higher: below zero), or a grade; cap and multiplier follow, or are given."""

    firm_id: str
    notches: int | None = None
    grade: str | None = None
    cap: Money | None = None
    multiplier: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A firm fails: its line closes, its trade is gone, what it owes is at risk."""

    firm_id: str


@dataclass(frozen=True, slots=True)
class Limited:
    """The programme's limits change: to amounts, or, where none is given, by a share in millionths."""

    limit: Money | None = None
    upstream_limit: Money | None = None
    downstream_limit: Money | None = None
    by: int | None = None


@dataclass(frozen=True, slots=True)
class Traded:
    """What a supplier sells to a buyer in twelve months changes: to an amount, or by a share in millionths."""

    supplier_id: str
    buyer_id: str
    traded: Money | None = None
    by: int | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """A firm is admitted, active and under a signed agreement; its rating is the one it has, or the one given."""

    firm_id: str
    direction: Literal["upstream", "downstream"]
    trades_with: str
    traded: Money
    cap: Money | None = None
    multiplier: int | None = None
    grade: str | None = None
    anchor_support: int = 0
    committed: Money | None = None


@dataclass(frozen=True, slots=True)
class Deepened:
    """The programme reaches another tier."""

    max_tier: int


Change = Rated | Failed | Limited | Traded | Joined | Deepened


@dataclass(frozen=True, slots=True)
class Grade:
    """What our policy says of a grade: factors of cap and multiplier, probability of default; in millionths."""

    grade: str
    cap: int
    multiplier: int
    default: int


@dataclass(frozen=True, slots=True)
class RiskWeights:
    """Our policy's grades, best first, and the share that is lost in default."""

    grades: tuple[Grade, ...]
    unrated_default: int
    loss_with_recourse: int
    loss_without_recourse: int
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


@dataclass(frozen=True, slots=True)
class Line:
    """What is, or would be, of a line; amounts in minor units."""

    line_id: str
    firm_id: str
    direction: str
    tier: int
    cap: int
    reserved: int
    available: int
    shortfall: int
    drawable: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """An open drawdown: it waits for its money (held, referred, approved) or has it (cancelling may have it yet)."""

    drawdown_id: str
    line_id: str
    firm_id: str
    obligor_id: str
    waits: bool
    is_loan: bool
    exposure: int
    used: int
    maturity_date: date
    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: lines by id, nodes that are short, grades by firm, and who failed."""

    lines: Mapping[str, Line]
    short: frozenset[str]
    grades: Mapping[str, str]
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Stuck:
    """A drawdown that would be frozen or trapped, with the amount and every reason."""

    drawdown: Open
    amount: int
    reasons: tuple[str, ...]


def frozen(drawdowns: Iterable[Open], *, before: Side, after: Side) -> list[Stuck]:
    """Return what waits for its money and would not get it any more: its line closes or its path falls short."""
    found = []
    for each in drawdowns:
        if not each.waits or _bars(each, before):
            continue
        if reasons := _bars(each, after):
            found.append(Stuck(each, each.exposure, reasons))
    return found


def trapped(drawdowns: Iterable[Open], *, before: Side, after: Side) -> list[Stuck]:
    """Return what is used by or owed by firms that fail, or on lines that fall short of their use."""
    found = []
    for each in drawdowns:
        if not each.used or _traps(each, before):
            continue
        if reasons := _traps(each, after):
            found.append(Stuck(each, each.used, reasons))
    return found


def _bars(drawdown: Open, side: Side) -> tuple[str, ...]:
    line = side.lines[drawdown.line_id]
    reasons = [] if line.drawable else list(line.reasons)
    reasons += [f"short:{node_id}" for node_id in drawdown.node_ids if node_id in side.short]
    if drawdown.obligor_id in side.failed:
        reasons.append("obligor_failed")
    return tuple(reasons)


def _traps(drawdown: Open, side: Side) -> tuple[str, ...]:
    reasons = []
    if drawdown.firm_id in side.failed:
        reasons.append("firm_failed")
    if drawdown.obligor_id in side.failed:
        reasons.append("obligor_failed")
    if side.lines[drawdown.line_id].shortfall:
        reasons.append("line_short")
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class Gap:
    """What a firm could draw before and after, what would be frozen, and what falls due that it could not roll."""

    firm_id: str
    drawn: int
    could_draw_before: int
    could_draw_after: int
    frozen: int
    cannot_roll_soon: int
    cannot_roll_later: int

    @property
    def gap(self) -> int:
        """Return what the firm would lack at once: what it could draw or was promised before, less what is left."""
        return max(0, self.could_draw_before - self.could_draw_after) + self.frozen


def liquidity(
    drawdowns: Sequence[Open], *, before: Side, after: Side, stuck: Iterable[Stuck], today: date
) -> list[Gap]:
    """Return the liquidity of each firm with a line, biggest gap first, by id between equals.

    What falls due can be rolled as far as its line has room for it again: a line that closes rolls nothing, one short
    of its use keeps what it is short.
    """
    due = {days: _due(drawdowns, until=today + timedelta(days=days)) for days in (_SOON_DAYS, _LATER_DAYS)}
    used: dict[str, int] = defaultdict(int)
    kept: dict[str, int] = defaultdict(int)
    for each in drawdowns:
        used[each.line_id] += each.used
    for held in stuck:
        kept[held.drawdown.line_id] += held.amount
    found: dict[str, Gap] = {}
    for line in after.lines.values():
        was = before.lines.get(line.line_id)
        known = found.get(line.firm_id) or Gap(line.firm_id, 0, 0, 0, 0, 0, 0)
        found[line.firm_id] = Gap(
            line.firm_id,
            known.drawn + used[line.line_id],
            known.could_draw_before + (_draws(was) if was else 0),
            known.could_draw_after + _draws(line),
            known.frozen + kept[line.line_id],
            known.cannot_roll_soon + _cannot_roll(line, due[_SOON_DAYS].get(line.line_id, 0)),
            known.cannot_roll_later + _cannot_roll(line, due[_LATER_DAYS].get(line.line_id, 0)),
        )
    return sorted(found.values(), key=lambda each: (-each.gap, -each.cannot_roll_later, each.firm_id))


def _draws(line: Line) -> int:
    return line.available if line.drawable else 0


def _due(drawdowns: Iterable[Open], *, until: date) -> dict[str, int]:
    due: dict[str, int] = defaultdict(int)
    for each in drawdowns:
        if each.maturity_date <= until:
            due[each.line_id] += each.used
    return due


def _cannot_roll(line: Line, due: int) -> int:
    return min(due, line.shortfall) if line.drawable else due


def expected_loss(drawdowns: Iterable[Open], side: Side, weights: RiskWeights) -> int:
    """Return Σ use × probability that the obligor defaults × share lost then, rounded once.

    The obligor pays the document, so its grade counts; recourse to another firm that stands lowers what is lost.
    """
    total = 0
    for each in drawdowns:
        grade = IN_DEFAULT if each.obligor_id in side.failed else side.grades.get(each.obligor_id)
        has_recourse = each.is_loan and each.firm_id not in {each.obligor_id, *side.failed}
        loss = weights.loss_with_recourse if has_recourse else weights.loss_without_recourse
        total += each.used * weights.default_of(grade) * loss
    return round_half_even(numerator=total, denominator=MILLION * MILLION)
