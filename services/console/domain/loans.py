"""Where a loan stands, as its page tells it: settlement's figures, and what they come to on the open business day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from shared.values.money import parse_minor

State = Literal["scheduled", "due", "overdue", "paid"]


@dataclass(frozen=True, slots=True)
class Line:
    """An instalment in minor units; `late` are the days that it is past due and not paid."""

    nth: int
    due_date: date
    principal: int
    interest: int
    paid: int
    state: State
    settled_date: date | None
    late: int

    @property
    def total(self) -> int:
        """Return what it demands in all."""
        return self.principal + self.interest

    @property
    def left(self) -> int:
        """Return what of it is not paid."""
        return max(0, self.total - self.paid)


@dataclass(frozen=True, slots=True)
class Position:
    """What is due of a loan and not paid on a date, part by part, in minor units, and its instalments."""

    on_date: date
    costs: int
    penalty: int
    interest: int
    principal: int
    lines: tuple[Line, ...]

    @property
    def due(self) -> int:
        """Return what is due in all."""
        return self.costs + self.penalty + self.interest + self.principal

    @property
    def following(self) -> Line | None:
        """Return the oldest instalment that is not paid."""
        return next((line for line in self.lines if line.state != "paid"), None)

    @property
    def late(self) -> int:
        """Return the days past due: those of the oldest instalment that is not paid (R15)."""
        return self.following.late if self.following else 0

    @property
    def repaid(self) -> int:
        """Return what was paid of the instalments, principal and interest."""
        return sum(line.paid for line in self.lines)

    @property
    def demanded(self) -> int:
        """Return what all instalments demand, with interest that is still to accrue as it would be."""
        return sum(line.total for line in self.lines)

    @property
    def overdue(self) -> int:
        """Return what is not paid of the instalments that are past due."""
        return sum(line.left for line in self.lines if line.late)


def position(standing: Mapping[str, Any], *, on: date | None) -> Position:
    """Return what a loan's last event says of it, read on a business date; on the event's own without one."""
    on_date = date.fromisoformat(standing["on_date"])
    read_on = max(on_date, on or on_date)
    parts = {part: _minor(standing[part]) for part in ("costs", "penalty", "interest", "principal")}
    return Position(on_date, **parts, lines=tuple(_line(each, on=read_on) for each in standing["instalments"]))


def _line(said: Mapping[str, Any], *, on: date) -> Line:
    due, settled = date.fromisoformat(said["due_date"]), said["settled_date"]
    return Line(
        nth=said["nth"],
        due_date=due,
        principal=_minor(said["principal"]),
        interest=_minor(said["interest"]),
        paid=_minor(said["principal_paid"]) + _minor(said["interest_paid"]),
        state=_state(due, settled=settled is not None, on=on),
        settled_date=date.fromisoformat(settled) if settled else None,
        late=0 if settled else max(0, (on - due).days),
    )


def _state(due: date, *, settled: bool, on: date) -> State:
    if settled:
        return "paid"
    if due > on:
        return "scheduled"
    return "due" if due == on else "overdue"


def _minor(amount: Mapping[str, str]) -> int:
    return parse_minor(amount=amount["amount"], currency=amount["currency"])
