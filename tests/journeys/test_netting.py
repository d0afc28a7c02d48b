"""Three firms that owe one another in a round, through every service and the real broker; every invariant holds."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.micro_town import Town, cny, play
from tributary.demo.client import Person, Refused, until
from tributary.demo.people import people_of

pytestmark = pytest.mark.timeout(300)
_RECEIVABLES, _NETTING = "/receivables/v1", "/settlement/v1/netting"


@dataclass
class _Round:
    """Three firms that owe one another, and who speaks for each."""

    town: Town
    firms: dict[str, str]

    async def of(self, name: str, *roles: str) -> Person:
        return await self.town.people.of(self.firms[name], *(roles or ("sme",)))

    async def owe(self, debtor: str, creditor: str, amount: str) -> str:
        """Have the debtor register what it owes and the creditor say the same."""
        body = {
            "debtor_id": self.firms[debtor],
            "creditor_id": self.firms[creditor],
            "amount": cny(amount),
            "number": f"{debtor}-{creditor}",
            "issue_date": self.town.today.isoformat(),
            "due_date": (self.town.today + timedelta(days=30)).isoformat(),
        }
        owing, owed = await self.of(debtor), await self.of(creditor)

        async def registered() -> dict[str, Any] | None:
            try:
                return await owing.post(f"{_RECEIVABLES}/obligations", body)
            except Refused as refused:
                # Receivables has not heard of the firm yet.
                if refused.code != "unknown_party":
                    raise
                return None

        debt = await until(registered, awaited="a registered debt")
        said = await owed.post(f"{_RECEIVABLES}/receivables/{debt['receivable_id']}/acknowledgements")
        assert said["acknowledged"] is True
        return str(debt["receivable_id"])

    async def confirm(self, receivable_id: str, *, by: str) -> None:
        maker, checker = await self.of(by, "anchor_maker"), await self.of(by, "anchor_checker")
        body = {"receivable_ids": [receivable_id], "undertaking": "none"}
        proposed = await maker.post(f"{_RECEIVABLES}/confirmations", body)
        await checker.post(f"{_RECEIVABLES}/approvals/{proposed['approval_id']}/approve")

    async def free(self, count: int) -> None:
        """Wait until settlement knows that many debts to be free."""

        async def known() -> bool | None:
            found = await self.town.maker.every(f"{_NETTING}/obligations")
            return True if sum(each["is_free"] for each in found) == count else None

        await until(known, awaited=f"{count} free debts")


async def _story(http: httpx.AsyncClient, home: Path) -> None:
    people = await people_of(http, home=home)
    maker, risk = await people.bank("maker", "bank_maker"), await people.bank("risk", "risk_officer")
    town = Town(people, maker, risk, datetime.now(UTC).date())
    await maker.post("/settlement/v1/book", {"opening_date": town.today.isoformat()})
    firms = _Round(town, {name: await town.firm(name) for name in ("mill", "forge", "foundry")})
    debts = [
        await firms.owe("mill", "forge", "100.00"),
        await firms.owe("forge", "foundry", "80.00"),
        await firms.owe("foundry", "mill", "60.00"),
    ]
    await firms.confirm(debts[0], by="mill")
    await firms.free(3)
    run = await maker.command(f"{_NETTING}/runs", {"currency": "CNY", "cash": {"total": cny("40.00")}})
    assert (run["cleared"], run["with_cash"]["cleared"]) == (cny("180.00"), cny("240.00"))
    (netting_id,) = run["netting_ids"]
    path = f"{_NETTING}/proposals/{netting_id}"
    for name in ("mill", "forge", "foundry"):
        signer = await firms.of(name)
        seen = await signer.get(path)
        assert (len(seen["own_legs"]), seen["falls"]) == (2, cny("60.00"))
        await signer.post(f"{path}/acceptance")

    async def settled() -> dict[str, Any] | None:
        found = await maker.get(path)
        return found if found["state"] == "settled" else None

    await until(settled, awaited="the netting is settled")
    found = [await maker.get(f"{_RECEIVABLES}/receivables/{each}") for each in debts]
    assert [each["financeable"]["amount"] for each in found] == ["40.00", "20.00", "0.00"]
    assert [each["state"] for each in found] == ["confirmed", "validated", "settled"]
    await firms.free(2)
    # What the mill confirmed can be financed for the rest: credit has heard of it.
    creditor = await firms.of("forge")

    async def lowered() -> bool | None:
        documents = (await creditor.get("/credit/v1/documents"))["items"]
        return (
            True if [each["eligible"]["amount"] for each in documents if each["state"] == "free"] == ["40.00"] else None
        )

    await until(lowered, awaited="credit counts the rest only")
    told = (await maker.get("/console/v1/events", limit=500))["items"]
    assert [each["type"] for each in told if each["type"].startswith("netting.")] == [
        "netting.proposed.v1",
        "netting.accepted.v1",
        "netting.settled.v1",
    ]


def test_r14_from_a_registered_debt_to_its_set_off_every_invariant_holds(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    figures = asyncio.run(play(_story, home=tmp_path))
    assert len(figures) >= 11
    assert all(figure["violations"] == 0 for figure in figures.values()), json.dumps(figures, indent=1)
