"""What if: hypothetical changes, and what they would do to drawdowns, to firms' liquidity and to expected loss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar, Literal, NamedTuple

from services.credit.domain.risk_weights import IN_DEFAULT, RiskWeights, weighed_loss
from shared.values.money import Money

_SOON_DAYS, _LATER_DAYS = 30, 90


class NotSupposable(ValueError):
    """A change that cannot be supposed, and why."""

    code: ClassVar[str] = "change_not_supposable"

    def __init__(self, *, nth: int, reason: str) -> None:
        """Keep which change of the list it is, from 1, and the reason."""
        self.nth = nth
        self.reason = reason
        super().__init__(f"Change {nth} cannot be supposed: {reason}.")


@dataclass(frozen=True, slots=True)
class Rated:
    """A firm is rated some notches lower (higher: below zero), or a grade; cap and multiplier follow, or are given.

    With its whole group, whose head it is, every member is.
    """

    firm_id: str
    notches: int | None = None
    grade: str | None = None
    cap: Money | None = None
    multiplier: int | None = None
    whole_group: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A firm fails, or a whole group: lines close, trade is gone, what is owed is at risk."""

    firm_id: str
    whole_group: bool = False


@dataclass(frozen=True, slots=True)
class Limited:
    """A programme's limits change: to amounts, or, where none is given, by a share in millionths."""

    limit: Money | None = None
    upstream_limit: Money | None = None
    downstream_limit: Money | None = None
    by: int | None = None
    programme_id: str | None = None


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
    programme_id: str | None = None


@dataclass(frozen=True, slots=True)
class Deepened:
    """A programme reaches another tier."""

    max_tier: int
    programme_id: str | None = None


@dataclass(frozen=True, slots=True)
class PairLimited:
    """What is financed of one seller's claims on one obligor gets a limit, or another one."""

    seller_id: str
    obligor_id: str
    limit: Money


@dataclass(frozen=True, slots=True)
class Covered:
    """A registered cover is worth another amount, or another share of what it is worth, or is gone."""

    cover_id: str
    value: Money | None = None
    by: int | None = None
    gone: bool = False


Change = Rated | Failed | Limited | Traded | Joined | Deepened | PairLimited | Covered


def _nothing(_: Line) -> Mapping[str, int]:
    return {}


class Line(NamedTuple):
    """What is, or would be, of a line; amounts in minor units."""

    line_id: str
    programme_id: str
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
    programme_id: str
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
    """One side of a comparison: lines by id, nodes that are short, grades by firm, and who failed.

    `shared` is what is left on the nodes of a line that it shares with other lines.
    """

    lines: Mapping[str, Line]
    short: frozenset[str]
    grades: Mapping[str, str]
    failed: frozenset[str] = frozenset()
    shared: Callable[[Line], Mapping[str, int]] = _nothing

    def draws(self, line_ids: Sequence[str]) -> int:
        """Return what can be drawn on some lines together: no more than any node leaves that all of them share."""
        lines = [self.lines[line_id] for line_id in line_ids if line_id in self.lines]
        drawable = [line for line in lines if line.drawable]
        together = sum(line.available for line in drawable)
        if len(drawable) < 2:  # noqa: PLR2004 - one line shares with none
            return together
        first, *others = [self.shared(line) for line in drawable]
        in_all = [left for node_id, left in first.items() if all(node_id in each for each in others)]
        return min([together, *in_all])


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


class Gap(NamedTuple):
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
    soon, later = (_due(drawdowns, until=today + timedelta(days=days)) for days in (_SOON_DAYS, _LATER_DAYS))
    used: dict[str, int] = defaultdict(int)
    kept: dict[str, int] = defaultdict(int)
    for each in drawdowns:
        used[each.line_id] += each.used
    for held in stuck:
        kept[held.drawdown.line_id] += held.amount
    by_firm: dict[str, list[Line]] = defaultdict(list)
    for line in after.lines.values():
        by_firm[line.firm_id].append(line)
    found = []
    for firm_id, lines in by_firm.items():
        ids = [line.line_id for line in lines]
        found.append(
            Gap(
                firm_id,
                sum(used[line_id] for line_id in ids if line_id in used),
                before.draws(ids),
                after.draws(ids),
                sum(kept[line_id] for line_id in ids if line_id in kept),
                sum(_cannot_roll(line, soon.get(line.line_id, 0)) for line in lines),
                sum(_cannot_roll(line, later.get(line.line_id, 0)) for line in lines),
            )
        )
    return sorted(found, key=lambda each: (-each.gap, -each.cannot_roll_later, each.firm_id))


def _due(drawdowns: Iterable[Open], *, until: date) -> dict[str, int]:
    due: dict[str, int] = defaultdict(int)
    for each in drawdowns:
        if each.maturity_date <= until:
            due[each.line_id] += each.used
    return due


def _cannot_roll(line: Line, due: int) -> int:
    return min(due, line.shortfall) if line.drawable else due


def expected_losses(
    drawdowns: Iterable[Open], side: Side, weights: RiskWeights, secured: Mapping[str, Mapping[str, int]]
) -> dict[str, int]:
    """Return the weighed loss of each programme, not yet rounded; `secured`: by drawdown and kind of cover.

    The obligor pays the document, so its grade counts; recourse to another firm that stands lowers what is lost.
    """
    found: dict[str, int] = defaultdict(int)
    for each in drawdowns:
        found[each.programme_id] += weighed_loss(
            each.used,
            grade=IN_DEFAULT if each.obligor_id in side.failed else side.grades.get(each.obligor_id),
            has_recourse=each.is_loan and each.firm_id != each.obligor_id and each.firm_id not in side.failed,
            secured=secured.get(each.drawdown_id, {}),
            weights=weights,
        )
    return found
