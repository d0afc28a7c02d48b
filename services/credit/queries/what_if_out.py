"""The answer to a what-if: lines before and after, biggest losers first, totals, and what would be stuck."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from pydantic_core import to_json

from services.credit.domain.risk_weights import rounded_loss
from services.credit.domain.what_if import Gap, Line, Open, Side, Stuck
from services.credit.queries.comparing import Compared
from shared.values.money import Money

_LISTS = ("lines", "frozen", "trapped", "liquidity")


@dataclass(frozen=True)
class Comparison:
    """All compared programmes of one currency, and what lies between both sides; losses by programme, (before, after).

    Amounts on the wire are made once each: most of them come again and again.
    """

    currency: str
    today: date
    risk_policy: str
    programmes: Sequence[Compared]
    before: Side
    after: Side
    drawdowns: Sequence[Open]
    frozen: Sequence[Stuck]
    trapped: Sequence[Stuck]
    gaps: Sequence[Gap]
    losses: tuple[Mapping[str, int], Mapping[str, int]]

    @cached_property
    def _known(self) -> dict[int, dict[str, str]]:
        return {}

    def amount(self, minor: int) -> dict[str, str]:
        """Return minor units as the wire has them."""
        found = self._known.get(minor)
        if found is None:
            found = self._known[minor] = Money(minor, self.currency).wire()
        return found

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Return what firms are called."""
        return {firm_id: firm["name"] for each in self.programmes for firm_id, firm in each.read.firms.items()}

    def loses(self, line: Line) -> int:
        """Return what a line would lose of what it can draw."""
        was = self.before.lines.get(line.line_id)
        return (was.available if was and was.drawable else 0) - (line.available if line.drawable else 0)

    @cached_property
    def lines(self) -> Sequence[Line]:
        """Return the lines as they would be, biggest losers first."""
        return sorted(self.after.lines.values(), key=lambda line: (-self.loses(line), line.line_id))

    @cached_property
    def lacking(self) -> Sequence[Gap]:
        """Return what firms would lack, of those that would lack anything."""
        return [gap for gap in self.gaps if gap.gap or gap.cannot_roll_later]

    def rows(self, name: str, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Return the first rows of a list, all of them without a limit."""
        if name == "lines":
            return (_line_out(self, line) for line in self.lines[:limit])
        if name == "liquidity":
            return (_gap_out(self, gap) for gap in self.lacking[:limit])
        return (_stuck_out(self, each) for each in self.stuck(name)[:limit])

    def stuck(self, name: str) -> Sequence[Stuck]:
        """Return the frozen or the trapped drawdowns."""
        return self.frozen if name == "frozen" else self.trapped

    def count(self, name: str) -> int:
        """Return how long a whole list is."""
        lists: dict[str, Sequence[Any]] = {"lines": self.lines, "liquidity": self.lacking}
        return len(lists[name] if name in lists else self.stuck(name))


def told_one(found: Comparison, *, limit: int) -> bytes:
    """Return the comparison of one programme as JSON; of each list the first `limit`, of everything the totals."""
    (one,) = found.programmes
    return to_json(
        {
            "programme_id": one.programme["programme_id"],
            "business_date": found.today,
            "currency": found.currency,
            "propagation_policy": _policy(one),
            "risk_policy": found.risk_policy,
            "totals": _totals(found, found.programmes),
            **_lists([found], limit=limit),
        }
    )


def told_all(found: Sequence[Comparison], *, limit: int) -> bytes:
    """Return the comparisons of all currencies as one JSON document, totals by currency and by programme."""
    return to_json({**_head(found), **_lists(found, limit=limit)})


def told_line_by_line(found: Sequence[Comparison]) -> bytes:
    """Return everything as NDJSON: first the totals, then each row of each list with what `kind` it is."""
    rows: list[dict[str, Any]] = [{"kind": "totals", **_head(found)}]
    kinds = {"lines": "line", "frozen": "frozen", "trapped": "trapped", "liquidity": "liquidity"}
    for each in found:
        for name in _LISTS:
            rows += ({"kind": kinds[name], **row} for row in each.rows(name))
    return b"".join(to_json(row) + b"\n" for row in rows)


def _head(found: Sequence[Comparison]) -> dict[str, Any]:
    policies = {_policy(one) for each in found for one in each.programmes}
    return {
        "business_date": found[0].today if found else None,
        "propagation_policies": sorted(policies - {""}),
        "risk_policy": found[0].risk_policy if found else "",
        "totals": [_of_currency(each) for each in found],
        "programmes": [_of_programme(each, one) for each in found for one in each.programmes],
    }


def _policy(one: Compared) -> str:
    return one.computed.policy.version if one.computed else ""


def _lists(found: Sequence[Comparison], *, limit: int) -> dict[str, Any]:
    lists: dict[str, Any] = {}
    left_off = {}
    for name in _LISTS:
        lists[name] = []
        for each in found:
            lists[name] += each.rows(name, limit=limit - len(lists[name]))
        left_off[name] = sum(each.count(name) for each in found) - len(lists[name])
    return {**lists, "left_off": left_off}


def _of_currency(found: Comparison) -> dict[str, Any]:
    return {
        "currency": found.currency,
        "programmes": len(found.programmes),
        "lines": len(found.after.lines),
        **_totals(found, found.programmes),
    }


def _of_programme(found: Comparison, one: Compared) -> dict[str, Any]:
    totals = _totals(found, [one])
    # A firm's gap is of all its lines together.
    del totals["liquidity_gap"]
    return {
        "programme_id": one.programme["programme_id"],
        "programme_name": one.programme["name"],
        "currency": found.currency,
        "lines": len(one.after.lines),
        "changed_lines": sum(one.before.lines.get(line.line_id) != line for line in one.after.lines.values()),
        "totals": totals,
    }


def _totals(found: Comparison, programmes: Sequence[Compared]) -> dict[str, Any]:
    ids = {each.programme["programme_id"] for each in programmes}
    losses = [rounded_loss(sum(side.get(each, 0) for each in ids)) for side in found.losses]
    pairs = {
        "limit": _added(each.limits for each in programmes),
        "pool": _added(each.pools for each in programmes),
        "shortfall": _added(each.shortfalls for each in programmes),
        "cap": _sums(programmes, "cap"),
        "reserved": _sums(programmes, "reserved"),
        "expected_loss": losses,
    }
    drawable = _sums(programmes, "drawable")

    def stuck(name: str) -> dict[str, str]:
        return found.amount(sum(each.amount for each in found.stuck(name) if each.drawdown.programme_id in ids))

    return {
        **{name: {"before": found.amount(pair[0]), "after": found.amount(pair[1])} for name, pair in pairs.items()},
        "drawable_lines": {"before": drawable[0], "after": drawable[1]},
        "frozen": stuck("frozen"),
        "trapped": stuck("trapped"),
        "liquidity_gap": found.amount(sum(each.gap for each in found.gaps)),
        "expected_loss_change": found.amount(losses[1] - losses[0]),
    }


def _added(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    before, after = (sum(each) for each in zip(*pairs, strict=True))
    return before, after


def _sums(programmes: Sequence[Compared], name: str) -> tuple[int, int]:
    return _added(
        (
            sum(getattr(line, name) for line in each.before.lines.values()),
            sum(getattr(line, name) for line in each.after.lines.values()),
        )
        for each in programmes
    )


def _line_out(found: Comparison, line: Line) -> dict[str, Any]:
    was = found.before.lines.get(line.line_id)
    return {
        "line_id": line.line_id,
        "programme_id": line.programme_id,
        "enterprise_id": line.firm_id,
        "enterprise_name": found.names.get(line.firm_id, ""),
        "direction": line.direction,
        "before": None if was is None else _side_out(found, was),
        "after": _side_out(found, line),
        "loses": found.amount(found.loses(line)),
    }


def _side_out(found: Comparison, line: Line) -> dict[str, Any]:
    return {
        "tier": line.tier,
        "cap": found.amount(line.cap),
        "reserved": found.amount(line.reserved),
        "available": found.amount(line.available),
        "shortfall": found.amount(line.shortfall),
        "drawable": line.drawable,
        "reasons": line.reasons,
    }


def _stuck_out(found: Comparison, stuck: Stuck) -> dict[str, Any]:
    return {
        "drawdown_id": stuck.drawdown.drawdown_id,
        "line_id": stuck.drawdown.line_id,
        "programme_id": stuck.drawdown.programme_id,
        "enterprise_id": stuck.drawdown.firm_id,
        "obligor_id": stuck.drawdown.obligor_id,
        "amount": found.amount(stuck.amount),
        "reasons": stuck.reasons,
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
