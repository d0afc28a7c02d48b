"""The answer to a what-if: lines before and after, biggest losers first, totals, and what would be stuck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.credit.domain.what_if import Gap, Line, Side, Stuck
from shared.values.money import Money


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides of a what-if, and what lies between them; pairs are (before, after)."""

    programme_id: str
    currency: str
    today: date
    names: Mapping[str, str]
    before: Side
    after: Side
    limits: tuple[int, int]
    pools: tuple[int, int]
    shortfalls: tuple[int, int]
    frozen: Sequence[Stuck]
    trapped: Sequence[Stuck]
    gaps: Sequence[Gap]
    losses: tuple[int, int]
    policies: tuple[str, str]

    def amount(self, minor: int) -> dict[str, str]:
        """Return minor units as the wire has them."""
        return Money(minor, self.currency).wire()

    def loss_of(self, line: Line) -> int:
        """Return what a line would lose of what it can draw."""
        was = self.before.lines.get(line.line_id)
        return (was.available if was and was.drawable else 0) - (line.available if line.drawable else 0)


def told(found: Comparison, *, limit: int) -> dict[str, Any]:
    """Return a comparison as the API answers it; of each list the first `limit`, of everything the totals."""
    lines = sorted(found.after.lines.values(), key=lambda line: (-found.loss_of(line), line.line_id))
    gaps = [gap for gap in found.gaps if gap.gap or gap.cannot_roll_later]
    return {
        "programme_id": found.programme_id,
        "business_date": found.today,
        "currency": found.currency,
        "propagation_policy": found.policies[0],
        "risk_policy": found.policies[1],
        "totals": _totals(found),
        "lines": [_line_out(found, line) for line in lines[:limit]],
        "frozen": [_stuck_out(found, each) for each in found.frozen[:limit]],
        "trapped": [_stuck_out(found, each) for each in found.trapped[:limit]],
        "liquidity": [_gap_out(found, each) for each in gaps[:limit]],
        "left_off": {
            "lines": max(0, len(lines) - limit),
            "frozen": max(0, len(found.frozen) - limit),
            "trapped": max(0, len(found.trapped) - limit),
            "liquidity": max(0, len(gaps) - limit),
        },
    }


def _totals(found: Comparison) -> dict[str, Any]:
    pairs = {
        "limit": found.limits,
        "pool": found.pools,
        "shortfall": found.shortfalls,
        "cap": _sums(found, "cap"),
        "reserved": _sums(found, "reserved"),
        "expected_loss": found.losses,
    }
    both = {name: {"before": found.amount(pair[0]), "after": found.amount(pair[1])} for name, pair in pairs.items()}
    drawable = [sum(line.drawable for line in side.lines.values()) for side in (found.before, found.after)]
    return {
        **both,
        "drawable_lines": {"before": drawable[0], "after": drawable[1]},
        "frozen": found.amount(sum(each.amount for each in found.frozen)),
        "trapped": found.amount(sum(each.amount for each in found.trapped)),
        "liquidity_gap": found.amount(sum(each.gap for each in found.gaps)),
        "expected_loss_change": found.amount(found.losses[1] - found.losses[0]),
    }


def _sums(found: Comparison, name: str) -> tuple[int, int]:
    before, after = (sum(getattr(line, name) for line in side.lines.values()) for side in (found.before, found.after))
    return before, after


def _line_out(found: Comparison, line: Line) -> dict[str, Any]:
    was = found.before.lines.get(line.line_id)
    return {
        "line_id": line.line_id,
        "enterprise_id": line.firm_id,
        "enterprise_name": found.names.get(line.firm_id, ""),
        "direction": line.direction,
        "before": None if was is None else _side_out(found, was),
        "after": _side_out(found, line),
        "loses": found.amount(found.loss_of(line)),
    }


def _side_out(found: Comparison, line: Line) -> dict[str, Any]:
    return {
        "tier": line.tier,
        "cap": found.amount(line.cap),
        "reserved": found.amount(line.reserved),
        "available": found.amount(line.available),
        "shortfall": found.amount(line.shortfall),
        "drawable": line.drawable,
        "reasons": list(line.reasons),
    }


def _stuck_out(found: Comparison, stuck: Stuck) -> dict[str, Any]:
    return {
        "drawdown_id": stuck.drawdown.drawdown_id,
        "line_id": stuck.drawdown.line_id,
        "enterprise_id": stuck.drawdown.firm_id,
        "obligor_id": stuck.drawdown.obligor_id,
        "amount": found.amount(stuck.amount),
        "reasons": list(stuck.reasons),
    }


def _gap_out(found: Comparison, gap: Gap) -> dict[str, Any]:
    return {
        "enterprise_id": gap.firm_id,
        "enterprise_name": found.names.get(gap.firm_id, ""),
        "drawn": found.amount(gap.drawn),
        "could_draw_before": found.amount(gap.could_draw_before),
        "could_draw_after": found.amount(gap.could_draw_after),
        "frozen": found.amount(gap.frozen),
        "gap": found.amount(gap.gap),
        "cannot_roll_in_30_days": found.amount(gap.cannot_roll_soon),
        "cannot_roll_in_90_days": found.amount(gap.cannot_roll_later),
    }
