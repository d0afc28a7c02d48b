"""A firm draws on its rating alone, through every service: refused by the rail, drawn again, paid to a named payee."""

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

from shared.runtime.settings import Settings
from tributary.demo.client import Person, Refused, until
from tributary.demo.figures import invariant_figures
from tributary.demo.people import People, people_of
from tributary.platform import running_platform

pytestmark = pytest.mark.timeout(180)
_DIGEST = "5e" * 32
_YEAR = timedelta(days=365)


def _cny(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


@dataclass
class Town:
    """An anchor's programme that also lends on the rating alone, one supplier, and a mill that it buys from."""

    people: People
    maker: Person
    risk: Person
    today: date

    async def firm(self, name: str, **more: str) -> str:
        body = {"name": name, "country": "CN", "account": f"ACC-{name}", "size_class": "small", **more}
        enterprise_id = str((await self.maker.post("/onboarding/v1/enterprises", body))["enterprise_id"])
        rating = {
            "enterprise_id": enterprise_id,
            "grade": "A",
            "cap": _cny("9000000.00"),
            "multiplier": "1.000000",
            "risk_spread": "0.010000",
            "reasons": ["test"],
            "valid_until": (self.today + _YEAR).isoformat(),
        }
        await self.risk.post("/risk/v1/ratings", rating)
        return enterprise_id

    async def programme(self, anchor: str, **changes: Any) -> str:
        names = ("limit", "upstream_limit", "downstream_limit", "issuance_limit", "auto_approve_up_to")
        terms: dict[str, Any] = {
            "currency": "CNY",
            **{name: _cny("9000000.00") for name in names},
            "max_tier": 1,
            "advance_rate": "0.800000",
            "concentration_share": "1.000000",
            "max_tenor_days": 180,
            "buffer_days": 5,
            "grace_days": 3,
            "recourse": True,
            "interest_payer": "anchor",
            "pricing_policy": "pricing",
            "propagation_policy": "propagation",
            "cut_off": "17:00:00",
            "zone": "Asia/Shanghai",
            "collection_account": "COLLECT",
            "products": ["receivables_discounting", "revolving_micro"],
            **changes,
        }
        body = {"name": "with micro credit", "anchor_id": anchor, "terms": terms}
        proposed = await self.maker.post("/onboarding/v1/programmes", body)
        checker = await self.people.bank("checker", "bank_checker")
        await checker.post(f"/onboarding/v1/approvals/{proposed['approval_id']}/approve")
        return str(proposed["programme_id"])

    async def supplier(self, anchor: str, programme_id: str) -> Person:
        firm = await self.firm("workshop", industry="services")
        member = {"enterprise_id": firm, "direction": "upstream", "anchor_support": "0"}
        await self.maker.post(f"/onboarding/v1/programmes/{programme_id}/members", member)
        link = {"supplier_id": firm, "buyer_id": anchor, "traded": _cny("9000000.00"), "contract": "C-1"}
        await self.maker.post("/onboarding/v1/links", link)
        sme = await self.people.of(firm, "sme")
        agreement = {
            "programme_id": programme_id,
            "signed_date": self.today.isoformat(),
            "expiry_date": (self.today + _YEAR).isoformat(),
            "committed": _cny("0.00"),
        }
        await sme.post(f"/onboarding/v1/enterprises/{firm}/line-agreements", agreement)
        return sme


async def _line(sme: Person) -> dict[str, Any]:
    async def drawable() -> dict[str, Any] | None:
        found = (await sme.get("/credit/v1/lines"))["items"]
        return dict(found[0]) if found and found[0]["drawable"] else None

    return await until(drawable, awaited="a line that can be drawn")


async def _reached(sme: Person, drawdown_id: str, state: str) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        found = await sme.get(f"/credit/v1/drawdowns/{drawdown_id}")
        return found if found["state"] == state else None

    return await until(there, awaited=f"a drawdown that is {state}")


async def _story(http: httpx.AsyncClient, home: Path) -> None:
    people = await people_of(http, home=home)
    maker, risk = await people.bank("maker", "bank_maker"), await people.bank("risk", "risk_officer")
    town = Town(people, maker, risk, datetime.now(UTC).date())
    await maker.post("/settlement/v1/book", {"opening_date": town.today.isoformat()})
    anchor, mill = await town.firm("anchor"), await town.firm("mill")
    with pytest.raises(Refused) as refused:
        await town.programme(anchor, products=["moon_finance"])
    assert (refused.value.code, refused.value.document["term"]) == ("invalid_terms", "products")
    sme = await town.supplier(anchor, await town.programme(anchor))
    line = await _line(sme)
    asked: Mapping[str, Any] = {
        "line_id": line["line_id"],
        "documents": [],
        "principal": _cny("3000000.00"),
        "tenor_days": 60,
        "purpose": "materials",
        "payee": {"enterprise_id": mill, "account": "ACC-mill"},
        "evidence": [{"kind": "contract", "reference": "C-9", "digest": _DIGEST}],
    }
    # The quota of a small firm in the services, of the product's policy file.
    with pytest.raises(Refused) as refused:
        await sme.command("/credit/v1/drawdowns", {**asked, "principal": _cny("3000000.01")})
    assert refused.value.document["binding_node"] == f"product/{line['line_id']}/revolving_micro"
    await people.administrator.put("/settlement/v1/rail/behaviours", {"account": "ACC-mill", "outcome": "refuse"})
    first = await sme.command("/credit/v1/drawdowns", asked)
    await _reached(sme, first["drawdown_id"], "released")
    assert (await _line(sme))["held"]["amount"] == "0.00"
    second = await sme.command("/credit/v1/drawdowns", asked)
    assert second["drawdown_id"] != first["drawdown_id"]
    used = await _reached(sme, second["drawdown_id"], "utilised")
    assert (used["product"], used["outstanding"]["amount"]) == ("revolving_micro", "3000000.00")
    loan = await maker.get(f"/settlement/v1/loans/{second['drawdown_id']}")
    assert (loan["payee_id"], loan["state"]) == (mill, "disbursed")
    assignment = await maker.get(f"/receivables/v1/assignments/{second['drawdown_id']}")
    assert (assignment["state"], assignment["documents"]) == ("nothing", [])
    entry = {
        "entry_id": "E-1",
        "amount": _cny("3000000.00"),
        "direction": "credit",
        "value_date": town.today.isoformat(),
        "reference": second["drawdown_id"],
    }
    await maker.command("/settlement/v1/statements", {"account": "COLLECT", "entries": [entry]})
    await _reached(sme, second["drawdown_id"], "repaid")
    assert (await _line(sme))["utilised"]["amount"] == "0.00"


async def _play(home: Path) -> dict[str, dict[str, Any]]:
    settings = Settings.model_construct(
        server_url="",
        bootstrap_servers="",
        home=home,
        host="127.0.0.1",
        port=0,
        issuer="tributary",
        audience="tributary",
        hold_seconds=600,
        rail_timeout_seconds=0.3,
    )
    async with running_platform(settings) as platform:
        async with httpx.AsyncClient(base_url=platform.origin, timeout=30) as http:
            await _story(http, platform.settings.home)
        return await invariant_figures(platform.settings)


def test_on_the_rating_alone_from_the_request_to_the_repayment_every_invariant_holds(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    figures = asyncio.run(_play(tmp_path))
    assert len(figures) >= 11
    assert all(figure["violations"] == 0 for figure in figures.values()), json.dumps(figures, indent=1)
