"""Where a loan stands on its page: settlement's figures, read on the open business day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from services.console.domain.loans import position

ON = date(2026, 3, 10)


def _cny(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


def _standing(*, settled: date | None = None, penalty: str = "0.00") -> dict[str, Any]:
    def part(nth: int, due: date, settled: date | None) -> dict[str, Any]:
        paid = settled is not None
        return {
            "nth": nth,
            "due_date": due.isoformat(),
            "principal": _cny("50.00"),
            "interest": _cny("2.00"),
            "principal_paid": _cny("50.00" if paid else "10.00" if nth == 1 else "0.00"),
            "interest_paid": _cny("2.00" if paid else "0.00"),
            "settled_date": settled.isoformat() if settled else None,
        }

    return {
        "on_date": ON.isoformat(),
        "costs": _cny("0.00"),
        "penalty": _cny(penalty),
        "interest": _cny("0.00" if settled else "2.00"),
        "principal": _cny("0.00" if settled else "40.00"),
        "instalments": [part(1, ON, settled), part(2, ON + timedelta(days=30), None)],
    }


@pytest.mark.parametrize(("days", "state", "late"), [(0, "due", 0), (1, "overdue", 1), (31, "overdue", 31)])
def test_r15_an_instalment_is_late_from_the_day_after_its_due_date(days: int, state: str, late: int) -> None:
    found = position(_standing(penalty="0.30"), on=ON + timedelta(days=days))
    assert (found.lines[0].state, found.late) == (state, late)
    assert (found.due, found.penalty) == (42_30, 30)
    assert found.lines[0].left == 42_00
    assert found.overdue == (42_00 if days == 1 else 0 if days == 0 else 94_00)


def test_what_is_paid_is_late_no_more_and_the_next_one_comes() -> None:
    found = position(_standing(settled=ON), on=ON + timedelta(days=5))
    assert [line.state for line in found.lines] == ["paid", "scheduled"]
    assert (found.due, found.overdue, found.repaid, found.demanded) == (0, 0, 52_00, 104_00)
    assert found.following is found.lines[1]


def test_without_a_business_day_it_is_read_as_the_event_said_it() -> None:
    assert position(_standing(), on=None).lines[0].state == "due"
    assert position(_standing(), on=ON - timedelta(days=3)).lines[0].state == "due"
