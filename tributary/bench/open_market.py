"""A whole market through the public API: an anchor, suppliers with lines, confirmed invoices to draw on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import httpx

from shared.values.money import Amount
from tributary.bench.terms import programme_terms
from tributary.demo.client import Person, until
from tributary.demo.people import People, people_of
from tributary.platform import Platform

SUPPLIERS = 10
_A_FILE = 1_000
PRINCIPAL_MINOR = 800_00
_PRINCIPAL, _PAYABLE, _LARGE = f"{PRINCIPAL_MINOR / 100:.2f}", "1000.00", "900000000.00"
_TENOR_DAYS, _TERM = 60, timedelta(days=730)
_HEADER = "seller_id,obligor_id,number,document_type,issue_date,due_date,amount,currency,order_reference\n"


def _money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A confirmed invoice that nobody drew on, and who may."""

    receivable_id: str
    line_id: str
    token: str


@dataclass(frozen=True, slots=True)
class OpenMarket:
    """What is there to draw on, claim by claim."""

    claims: Iterator[Claim]

    def next_request(self) -> bytes:
        """Return one drawdown over the next claim, as it goes over a connection."""
        claim = next(self.claims)
        body = (
            f'{{"line_id":"{claim.line_id}","documents":[{{"kind":"receivable","document_id":"{claim.receivable_id}"}}],'
            f'"principal":{{"amount":"{_PRINCIPAL}","currency":"CNY"}},"purpose":"wages"}}'
        )
        return (
            f"POST /credit/v1/drawdowns HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {claim.token}\r\n"
            f"idempotency-key: {claim.receivable_id}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}"
        ).encode()


async def open_market(platform: Platform, *, documents: int) -> OpenMarket:
    """Open the book, start a programme, and have so many invoices confirmed; return them in turn of the suppliers."""
    timeout = httpx.Timeout(120, connect=5)
    async with httpx.AsyncClient(base_url=platform.origin, timeout=timeout) as http:
        people = await people_of(http, home=platform.settings.home)
        maker, checker = await people.bank("maker", "bank_maker"), await people.bank("checker", "bank_checker")
        risk = await people.bank("risk", "risk_officer")
        today = datetime.now(UTC).date()
        await maker.post("/settlement/v1/book", {"opening_date": today.isoformat()})
        anchor = await _firm(maker, risk, "anchor", today)
        programme_id = await _programme(maker, checker, anchor)
        firms = [await _firm(maker, risk, f"supplier {n}", today) for n in range(SUPPLIERS)]
        smes = [
            await _supplier(people, maker, firm, programme_id=programme_id, anchor=anchor, today=today)
            for firm in firms
        ]
        lines = [await _line(sme) for sme in smes]
        claims = await _claims(people, anchor, firms, documents=documents, today=today)
    ordered = [
        Claim(receivable_id, line, sme.token)
        for group in zip(*claims, strict=True)
        for receivable_id, line, sme in zip(group, lines, smes, strict=True)
    ]
    return OpenMarket(iter(ordered))


async def _firm(maker: Person, risk: Person, name: str, today: date) -> str:
    body = {"name": name, "country": "CN", "account": f"ACC-{name}", "size_class": "small"}
    enterprise_id = str((await maker.post("/onboarding/v1/enterprises", body))["enterprise_id"])
    rating = {
        "enterprise_id": enterprise_id,
        "grade": "A",
        "cap": _money(_LARGE),
        "multiplier": "1.000000",
        "risk_spread": "0.010000",
        "reasons": ["bench"],
        "valid_until": (today + _TERM).isoformat(),
    }
    await risk.post("/risk/v1/ratings", rating)
    return enterprise_id


async def _programme(maker: Person, checker: Person, anchor: str) -> str:
    terms = programme_terms(Amount(amount=_LARGE, currency="CNY")).model_dump(mode="json")
    proposed = await maker.post("/onboarding/v1/programmes", {"name": "hot", "anchor_id": anchor, "terms": terms})
    await checker.post(f"/onboarding/v1/approvals/{proposed['approval_id']}/approve")
    return str(proposed["programme_id"])


async def _supplier(people: People, maker: Person, firm: str, *, programme_id: str, anchor: str, today: date) -> Person:
    member = {"enterprise_id": firm, "direction": "upstream", "anchor_support": "0"}
    await maker.post(f"/onboarding/v1/programmes/{programme_id}/members", member)
    link = {"supplier_id": firm, "buyer_id": anchor, "traded": _money(_LARGE), "contract": "bench"}
    await maker.post("/onboarding/v1/links", link)
    sme = await people.of(firm, "sme")
    agreement = {
        "programme_id": programme_id,
        "signed_date": today.isoformat(),
        "expiry_date": (today + _TERM).isoformat(),
        "committed": _money("0.00"),
    }
    await sme.post(f"/onboarding/v1/enterprises/{firm}/line-agreements", agreement)
    return sme


async def _line(sme: Person) -> str:
    async def drawable() -> str | None:
        found = (await sme.get("/credit/v1/lines"))["items"]
        return str(found[0]["line_id"]) if found and found[0]["drawable"] else None

    return await until(drawable, awaited="a line that can be drawn", within_s=60)


async def _claims(people: People, anchor: str, firms: list[str], *, documents: int, today: date) -> list[list[str]]:
    """Upload and confirm each supplier's invoices; return their ids, a list a supplier."""
    erp, maker = await people.of(anchor, "erp"), await people.of(anchor, "anchor_maker")
    checker = await people.of(anchor, "anchor_checker")
    due = (today + timedelta(days=_TENOR_DAYS)).isoformat()
    each = documents // SUPPLIERS
    made: list[list[str]] = []
    for nth, firm in enumerate(firms):
        ids: list[str] = []
        for first in range(0, each, _A_FILE):
            numbers = range(first, min(first + _A_FILE, each))
            rows = [f"{firm},{anchor},S{nth}-{n},380,{today},{due},{_PAYABLE},CNY,\n" for n in numbers]
            body = (_HEADER + "".join(rows)).encode()
            answer = await erp.send_file("/receivables/v1/documents", name="b.csv", body=body, media_type="text/csv")
            ids += [item["receivable_id"] for item in answer["items"]]
            await _confirm(maker, checker, ids[first:])
        made.append(ids)
    return made


async def _confirm(maker: Person, checker: Person, receivable_ids: list[str]) -> None:
    body = {"receivable_ids": receivable_ids, "undertaking": "irrevocable"}
    proposed = await maker.command("/receivables/v1/confirmations", body)
    await checker.command(f"/receivables/v1/approvals/{proposed['approval_id']}/approve", {})
