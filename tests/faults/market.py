"""A market through the public HTTP API: an anchor with its programme, suppliers with lines, confirmed receivables."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import httpx

from shared.web.issuer import Issuer
from tributary.demo.client import Person, until

OPENING = date(2026, 3, 2)
CURRENCY = "CNY"
ACCOUNT = "COLLECT-FAULTS"
SUPPLIERS = ("Amber", "Birch", "Cedar", "Dune")
_COLUMNS = (
    "seller_id", "obligor_id", "number", "document_type", "issue_date", "due_date", "amount", "currency",
    "order_reference",
)  # fmt: skip
_ISSUED, _DUE = OPENING - timedelta(days=10), OPENING + timedelta(days=120)


def cny(minor: int) -> dict[str, str]:
    """Return an amount as it goes over the wire."""
    return {"amount": f"{minor // 100}.{minor % 100:02}", "currency": CURRENCY}


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice of a supplier to the anchor."""

    number: str
    supplier: str
    minor: int


@dataclass
class Market:
    """Who is there, and what they have."""

    http: httpx.AsyncClient
    issuer: Issuer
    limit_minor: int
    ids: dict[str, str] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    receivables: dict[str, str] = field(default_factory=dict)
    programme_id: str = ""
    _people: dict[tuple[str, str], Person] = field(default_factory=dict)

    def person(self, role: str, of: str = "") -> Person:
        """Return somebody of the bank, or of a firm, in a role."""
        if (role, of) not in self._people:
            name = f"{role} {of}".strip()
            party = self.ids[of] if of else None
            token = self.issuer.issue(subject=name, roles=[role], party=party, client_id=name)
            self._people[role, of] = Person(name, (role,), party, self.http, token)
        return self._people[role, of]


async def open_market(http: httpx.AsyncClient, *, issuer: Issuer, limit_minor: int) -> Market:
    """Register, rate, open the book, start the programme, admit the suppliers; return when their lines are drawable."""
    market = Market(http, issuer, limit_minor)
    maker = market.person("bank_maker")
    for name in ("Anchor", *SUPPLIERS):
        body = {"name": name, "country": "CN", "account": f"ACC-{name}", "size_class": "large"}
        market.ids[name] = (await maker.post("/onboarding/v1/enterprises", body))["enterprise_id"]
        await market.person("risk_officer").post("/risk/v1/ratings", rating(market, name))
    await maker.post("/settlement/v1/book", {"opening_date": OPENING.isoformat()})
    proposal = {"name": "Faults", "anchor_id": market.ids["Anchor"], "terms": _terms(limit_minor)}
    proposed = await maker.post("/onboarding/v1/programmes", proposal)
    await market.person("bank_checker").post(f"/onboarding/v1/approvals/{proposed['approval_id']}/approve")
    market.programme_id = proposed["programme_id"]
    await asyncio.gather(*(_admit(market, name) for name in SUPPLIERS))
    await until(lambda: _lines(market), awaited="a drawable line for every supplier", within_s=60)
    return market


async def invoice(market: Market, invoices: Iterable[Invoice]) -> None:
    """Upload invoices and let the anchor confirm them; return when credit knows each as free."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(_COLUMNS)
    wanted = {each.number: each for each in invoices}
    for each in wanted.values():
        parties = (market.ids[each.supplier], market.ids["Anchor"])
        amount = cny(each.minor)["amount"]
        rows.writerow([*parties, each.number, "380", _ISSUED, _DUE, amount, CURRENCY, f"PO-{each.number}"])
    body = table.getvalue().encode()
    maker = market.person("bank_maker")
    taken = await maker.send_file("/receivables/v1/documents", name="faults.csv", body=body, media_type="text/csv")
    for number, item in zip(wanted, taken["items"], strict=True):
        assert item["outcome"] == "accepted", item
        market.receivables[number] = item["receivable_id"]
    named = {"receivable_ids": [market.receivables[number] for number in wanted], "undertaking": "none"}
    proposed = await market.person("anchor_maker", "Anchor").post("/receivables/v1/confirmations", named)
    path = f"/receivables/v1/approvals/{proposed['approval_id']}/approve"
    await market.person("anchor_checker", "Anchor").post(path)
    await until(lambda: _free(market, wanted), awaited="credit knows the receivables", within_s=60)


def rating(market: Market, name: str) -> dict[str, Any]:
    """Return the body that rates a firm."""
    return {
        "enterprise_id": market.ids[name],
        "grade": "A",
        "cap": cny(market.limit_minor * 5),
        "multiplier": "1.000000",
        "risk_spread": "0.010000",
        "reasons": ["faults"],
        "valid_until": "2029-12-31",
    }


async def _admit(market: Market, name: str) -> None:
    maker, programme = market.person("bank_maker"), market.programme_id
    body: dict[str, Any] = {"enterprise_id": market.ids[name], "direction": "upstream", "anchor_support": "0"}
    await maker.post(f"/onboarding/v1/programmes/{programme}/members", body)
    parties = {"supplier_id": market.ids[name], "buyer_id": market.ids["Anchor"]}
    await maker.post("/onboarding/v1/links", {**parties, "traded": cny(market.limit_minor), "contract": f"C-{name}"})
    body = {"programme_id": programme, "signed_date": OPENING.isoformat(), "committed": cny(0)}
    path = f"/onboarding/v1/enterprises/{market.ids[name]}/line-agreements"
    await market.person("sme", name).post(path, {**body, "expiry_date": "2029-12-31"})


async def _lines(market: Market) -> bool | None:
    lines = await market.person("risk_officer").every("/credit/v1/lines", programme_id=market.programme_id)
    names = {market.ids[name]: name for name in SUPPLIERS}
    market.lines = {names[line["enterprise_id"]]: line["line_id"] for line in lines if line["drawable"]}
    return True if len(market.lines) == len(SUPPLIERS) else None


async def _free(market: Market, wanted: dict[str, Invoice]) -> bool | None:
    free: set[str] = set()
    for name in {each.supplier for each in wanted.values()}:
        found = await market.person("sme", name).every("/credit/v1/documents")
        free |= {each["document_id"] for each in found if each["eligible"] and each["state"] == "free"}
    return True if {market.receivables[number] for number in wanted} <= free else None


def _terms(limit_minor: int) -> dict[str, Any]:
    return {
        "currency": CURRENCY,
        "limit": cny(limit_minor),
        "upstream_limit": cny(limit_minor),
        "downstream_limit": cny(0),
        "issuance_limit": cny(0),
        "max_tier": 1,
        "advance_rate": "0.800000",
        "concentration_share": "1.000000",
        "max_tenor_days": 180,
        "buffer_days": 5,
        "grace_days": 3,
        "recourse": True,
        "interest_payer": "seller",
        "pricing_policy": "pricing",
        "propagation_policy": "propagation",
        "auto_approve_up_to": cny(limit_minor),
        "cut_off": "17:00:00",
        "zone": "Asia/Shanghai",
        "collection_account": ACCOUNT,
    }
