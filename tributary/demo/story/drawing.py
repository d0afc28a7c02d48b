"""How an SME draws: a quote, the hold, the assignment, the money, and the proof of each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from shared.values.rates import parse_rate
from tributary.demo.client import PATIENCE_S, Person, Refused, until
from tributary.demo.stage import Step, expect, minor, money, wire
from tributary.demo.story.world import World

_NOT_YET = frozenset({"document_not_eligible", "unknown_document", "line_not_drawable"})
_ADVANCE_PERCENT = 80
_LARGE_MINOR = 100_000


async def quote(
    world: World, *, key: str, kind: str, document_id: str, most_minor: int | None = None
) -> dict[str, Any]:
    """Ask for a price, once credit knows the document, for as much as document, line and automatic approval carry."""
    sme = await world.sme(key)
    line = await world.line(key)
    eligible = await _eligible(sme, document_id)
    programme_limit = world.plan.main.limit_minor
    bounds = [eligible * _ADVANCE_PERCENT // 100, minor(line["available"]) // 2, programme_limit // 5]
    principal = min(*bounds, most_minor) if most_minor is not None else min(bounds)
    if principal > _LARGE_MINOR:
        principal -= principal % 10_000
    expect(principal > 0, f"{world.name(key)} can draw something")
    body = {
        "line_id": line["line_id"],
        "documents": [{"kind": kind, "document_id": document_id}],
        "principal": wire(principal, world.currency),
    }

    today = await world.open_date()

    async def asked() -> dict[str, Any] | None:
        try:
            offer = await sme.post("/credit/v1/quotes", body)
        except Refused as refused:
            if refused.code in _NOT_YET:
                return None
            raise
        # Credit hears of a new business day as of any other event: until then it prices the day before.
        tenor_days = (date.fromisoformat(offer["maturity_date"]) - today).days
        return offer if offer["tenor_days"] == tenor_days else None

    return await until(asked, awaited=f"a quote for {world.name(key)}")


def say_price(step: Step, offer: Mapping[str, Any]) -> None:
    """Say every component of a price, the fee and the all-in rate, and check that they add up."""
    parts = {each["name"]: parse_rate(each["rate"]) for each in offer["components"]}
    expect(sum(parts.values()) == parse_rate(offer["rate"]), "the components add up to the rate")
    expect(parse_rate(offer["all_in_rate"]) > 0, "the all-in rate is named")
    step.facts["quote"] = dict(offer)
    step.say(f"{money(offer['principal'])} for {offer['tenor_days']} days to {offer['maturity_date']}")
    step.say(" ".join(f"{each['name']} {each['basis_points']}" for each in offer["components"]) + " basis points")
    percent = parse_rate(offer["all_in_rate"]) / 10_000
    step.say(f"rate {offer['rate']}, fee {money(offer['fee'])}, all-in {percent:.4f}%")


async def draw(world: World, *, key: str, offer: Mapping[str, Any], kind: str, document_id: str) -> dict[str, Any]:
    """Draw on a quote; Refused when a limit or the document says no."""
    sme = await world.sme(key)
    body = {
        "line_id": offer["line_id"],
        "documents": [{"kind": kind, "document_id": document_id}],
        "principal": offer["principal"],
        "purpose": "raw material",
        "quote_id": offer.get("quote_id"),
    }
    return await sme.command("/credit/v1/drawdowns", body)


async def reached(world: World, drawdown_id: str, *states: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
    """Return the drawdown once it stands in one of the states."""

    async def look() -> dict[str, Any] | None:
        found = await world.maker.get(f"/credit/v1/drawdowns/{drawdown_id}")
        expect(found["state"] in states or found["state"] != "released", f"the drawdown goes on: {found.get('reason')}")
        return found if found["state"] in states else None

    return await until(look, awaited=f"drawdown {' or '.join(states)}", within_s=within_s)


async def loan_in(world: World, loan_id: str, *states: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
    """Return the loan once it stands in one of the states."""

    async def look() -> dict[str, Any] | None:
        try:
            found = await world.maker.get(f"/settlement/v1/loans/{loan_id}")
        except Refused as refused:
            expect(refused.status == 404, str(refused))  # noqa: PLR2004 - HTTP's own number
            return None
        return found if found["state"] in states else None

    return await until(look, awaited=f"loan {' or '.join(states)}", within_s=within_s)


async def assigned(world: World, drawdown_id: str, *states: str) -> dict[str, Any]:
    """Return the assignment of a drawdown's documents once it stands in one of the states."""

    async def look() -> dict[str, Any] | None:
        try:
            found = await world.maker.get(f"/receivables/v1/assignments/{drawdown_id}")
        except Refused as refused:
            expect(refused.status == 404, str(refused))  # noqa: PLR2004 - HTTP's own number
            return None
        return found if found["state"] in states else None

    return await until(look, awaited=f"assignment {' or '.join(states)}")


async def prove_assignment(world: World, step: Step, drawdown_id: str) -> None:
    """Say the registry's reference and the notice, and check that both are there."""
    found = await assigned(world, drawdown_id, "financed")
    expect(found["registry_reference"], "the movables registry gave a reference")
    expect(found["notices"], "the obligor was notified")
    step.facts["assignment"] = found
    step.say(f"registered as {found['registry_reference']}, {len(found['notices'])} obligor notified")


async def paid_out(world: World, step: Step, drawdown_id: str) -> dict[str, Any]:
    """Wait until the money is out and every limit counts it; return the loan."""
    await reached(world, drawdown_id, "utilised", "repaid")
    loan = await loan_in(world, drawdown_id, "disbursed", "closed")
    step.facts["loan"] = loan
    step.say(f"{money(loan['principal'])} lent, value {loan['disbursed_date']}, matures {loan['maturity_date']}")
    return loan


async def _eligible(sme: Person, document_id: str) -> int:
    """Return what of a document can be financed as credit knows it, once it does."""

    async def look() -> int | None:
        path = "/credit/v1/documents"
        for each in await sme.every(path):
            if each["document_id"] == document_id and each["eligible"] and each["state"] == "free":
                return minor(each["eligible"])
        return None

    return await until(look, awaited="credit knows the document as free")
