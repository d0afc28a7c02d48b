"""A town with one programme that also lends on the rating alone: a platform of its own, and who draws there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx

from shared.runtime.settings import Settings
from tributary.demo.client import NothingHappened, Person, until
from tributary.demo.figures import invariant_figures
from tributary.demo.people import People
from tributary.platform import running_platform

_YEAR = timedelta(days=365)


def cny(amount: str) -> dict[str, str]:
    """Return yuan as they are on the wire."""
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
            "cap": cny("9000000.00"),
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
            **{name: cny("9000000.00") for name in names},
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
        return await self.joined(programme_id, firm, supplier=firm, buyer=anchor)

    async def dealer(self, anchor: str, programme_id: str) -> tuple[Person, str]:
        """Admit a distributor that the anchor supports; return who speaks for it, and its id."""
        firm = await self.firm("dealer")
        return await self.joined(programme_id, firm, supplier=anchor, buyer=firm), firm

    async def joined(self, programme_id: str, firm: str, *, supplier: str, buyer: str) -> Person:
        """Let a firm join a programme, with its trade and a signed agreement; return who speaks for it."""
        direction, support = ("upstream", "0") if firm == supplier else ("downstream", "1")
        member = {"enterprise_id": firm, "direction": direction, "anchor_support": support}
        await self.maker.post(f"/onboarding/v1/programmes/{programme_id}/members", member)
        link = {"supplier_id": supplier, "buyer_id": buyer, "traded": cny("9000000.00"), "contract": "C-1"}
        await self.maker.post("/onboarding/v1/links", link)
        sme = await self.people.of(firm, "sme")
        agreement = {
            "programme_id": programme_id,
            "signed_date": self.today.isoformat(),
            "expiry_date": (self.today + _YEAR).isoformat(),
            "committed": cny("0.00"),
        }
        await sme.post(f"/onboarding/v1/enterprises/{firm}/line-agreements", agreement)
        return sme


async def line_of(sme: Person) -> dict[str, Any]:
    """Return the firm's line once it can be drawn; what fails shows what was seen last."""
    found: list[dict[str, Any]] = []

    async def drawable() -> dict[str, Any] | None:
        found[:] = (await sme.get("/credit/v1/lines"))["items"]
        return dict(found[0]) if found and found[0]["drawable"] else None

    try:
        return await until(drawable, awaited="a line that can be drawn")
    except NothingHappened as error:
        error.add_note(f"The firm's lines: {found}")
        raise


async def reached(sme: Person, drawdown_id: str, state: str) -> dict[str, Any]:
    """Return a drawdown once it is in a state."""

    async def there() -> dict[str, Any] | None:
        found = await sme.get(f"/credit/v1/drawdowns/{drawdown_id}")
        return found if found["state"] == state else None

    return await until(there, awaited=f"a drawdown that is {state}")


async def play(story: Callable[[httpx.AsyncClient, Path], Awaitable[None]], *, home: Path) -> dict[str, dict[str, Any]]:
    """Let a story happen on a platform of its own; return what verify finds of every invariant afterwards."""
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
    async with running_platform(settings, durable=False) as platform:
        async with httpx.AsyncClient(base_url=platform.origin, timeout=60) as http:
            await story(http, platform.settings.home)
        return await invariant_figures(platform.settings)
