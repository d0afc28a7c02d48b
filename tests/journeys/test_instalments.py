"""A firm repays by instalments through every service: two in time, one missed and cured, the last one; all is clean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.micro_town import Town, cny, line_of, play, reached
from tributary.demo.client import Person, until
from tributary.demo.people import people_of

pytestmark = pytest.mark.timeout(300)
_BEFORE = timedelta(days=140)
_LATE = timedelta(days=6)


@dataclass
class _Desk:
    """Who closes days and records statements."""

    maker: Person
    checker: Person

    async def open_on(self, day: date) -> None:
        proposed = await self.maker.post(f"/settlement/v1/business-days/{day - timedelta(days=1)}/close")
        await self.checker.post(f"/settlement/v1/approvals/{proposed['approval_id']}/approve")

    async def loan(self, loan_id: str) -> dict[str, Any]:
        return await self.maker.get(f"/settlement/v1/loans/{loan_id}")

    async def collect(self, minor: int, *, on: date, loan_id: str) -> dict[str, Any]:
        entry = {
            "entry_id": f"E-{on}-{minor}",
            "amount": cny(f"{minor // 100}.{minor % 100:02}"),
            "direction": "credit",
            "value_date": on.isoformat(),
            "reference": f"instalment of {loan_id}",
        }
        answer = await self.maker.command("/settlement/v1/statements", {"account": "COLLECT", "entries": [entry]})
        found: dict[str, Any] = answer["entries"][0]
        assert found["outcome"] == "collected", found
        return found


def _minor(amount: Mapping[str, str]) -> int:
    return int(amount["amount"].replace(".", ""))


async def _drawn(sme: Person, opening: date) -> dict[str, Any]:
    """Quote a plan and draw under it, once credit knows the book's day."""
    asked = {
        "line_id": (await line_of(sme))["line_id"],
        "documents": [],
        "principal": cny("300000.00"),
        "tenor_days": 120,
        "plan": {"kind": "equal_instalments", "instalments": 4},
    }

    async def on_the_opening_day() -> dict[str, Any] | None:
        quote = await sme.post("/credit/v1/quotes", asked)
        first = date.fromisoformat(quote["repayment"]["instalments"][0]["due_date"])
        return quote if first < opening + timedelta(days=45) else None

    quote = await until(on_the_opening_day, awaited="a quote of the opening day")
    assert quote["repayment"]["binding"] is True
    command = {**asked, "purpose": "materials", "quote_id": quote["quote_id"]}
    drawn = await sme.command("/credit/v1/drawdowns", command)
    assert drawn["repayment"] == quote["repayment"]
    return drawn


async def _used(sme: Person, minor: int) -> None:
    async def so_much() -> bool | None:
        (line,) = (await sme.get("/credit/v1/lines"))["items"]
        return True if _minor(line["utilised"]) == minor else None

    await until(so_much, awaited=f"a line of which {minor} is used (R11)")


async def _drawable(sme: Person, *, is_so: bool) -> None:
    async def found() -> bool | None:
        (line,) = (await sme.get("/credit/v1/lines"))["items"]
        return True if line["drawable"] is is_so else None

    await until(found, awaited=f"a line that is drawable: {is_so}")


async def _story(http: httpx.AsyncClient, home: Path) -> None:
    people = await people_of(http, home=home)
    desk = _Desk(await people.bank("maker", "bank_maker"), await people.bank("checker", "bank_checker"))
    today = datetime.now(UTC).date()
    town, opening = Town(people, desk.maker, await people.bank("risk", "risk_officer"), today), today - _BEFORE
    await desk.maker.post("/settlement/v1/book", {"opening_date": opening.isoformat()})
    anchor = await town.firm("anchor")
    sme = await town.supplier(anchor, await town.programme(anchor))
    loan_id = str((drawn := await _drawn(sme, opening))["drawdown_id"])
    await reached(sme, loan_id, "utilised")
    instalments = drawn["repayment"]["instalments"]
    dates = [date.fromisoformat(each["due_date"]) for each in instalments]
    assert drawn["maturity_date"] == instalments[-1]["due_date"]
    left = 30_000_000
    for nth in (0, 1):
        await desk.open_on(dates[nth])
        line = (await desk.loan(loan_id))["schedule"][nth]
        # It was paid out on the day it was quoted for, so it is what was quoted to the cent.
        assert (line["state"], line["total"]) == ("due", instalments[nth]["total"])
        entry = await desk.collect(_minor(line["total"]), on=dates[nth], loan_id=loan_id)
        assert entry["principal"] == instalments[nth]["principal"]
        left -= _minor(entry["principal"])
        await _used(sme, left)
    late = dates[2] + _LATE
    await desk.open_on(late)
    loan = await desk.loan(loan_id)
    assert (loan["days_past_due"], loan["schedule"][2]["state"]) == (_LATE.days, "overdue")
    assert 0 < _minor(loan["penalty_due"]) < 10_000_00
    await _drawable(sme, is_so=False)
    # The instalment, what it earned in its grace, and its penalty: then nothing is overdue, and the line is open again.
    entry = await desk.collect(_minor(instalments[2]["total"]) + 10_000_00, on=late, loan_id=loan_id)
    assert _minor(entry["penalty"]) > 0
    left -= _minor(entry["principal"])
    await _used(sme, left)
    await _drawable(sme, is_so=True)
    await desk.open_on(dates[3])
    last = (await sme.get(f"/settlement/v1/loans/{loan_id}"))["schedule"][3]
    await desk.collect(_minor(last["open"]), on=dates[3], loan_id=loan_id)
    await reached(sme, loan_id, "repaid")
    loan = await desk.loan(loan_id)
    assert (loan["state"], {each["state"] for each in loan["schedule"]}) == ("closed", {"paid"})
    assert sum(_minor(each["interest"]) for each in loan["schedule"]) == _minor(loan["interest_accrued"])
    await _used(sme, 0)


def test_a_plan_paid_twice_missed_once_and_cured_ends_clean_in_every_service(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    figures = asyncio.run(play(_story, home=tmp_path))
    assert len(figures) >= 11
    assert all(figure["violations"] == 0 for figure in figures.values()), json.dumps(figures, indent=1)
