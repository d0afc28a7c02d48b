"""What cash a firm lacks, week by week, and the cheapest drawdowns that close the gap (S26); nothing is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.credit.domain.cash_needs import Draw, Flow, Mix, cheapest_mix, forecast
from services.credit.queries.cash_facts import CashFacts, Drawable, Known, read_cash_facts
from shared.runtime.offload import offload
from shared.storage.database import Database
from shared.values.money import Money
from shared.values.rates import rate_text

ASSUMPTIONS = (
    (
        "what the platform knows is added to the flows given: confirmed free receivables and slices as they fall due, "
        "confirmed payables, and open drawdowns; what is not confirmed, overdue or in another currency is not"
    ),
    "an obligor pays on the due date; what a financed document brings above its loan comes at maturity",
    "drawdowns that are held or approved are paid out today",
    "within a week, what comes in is there for what goes out; flows of earlier dates count in the first week",
    "a drawdown is paid out on the first day of its week; its interest runs to maturity, its fee is kept back",
    "lines, limits and prices are as they are today; limits shared with others may be taken by them first",
    (
        "a document is drawn on by the line that asks least for it; documents due near each other are taken together, "
        "and may be drawn in part"
    ),
    "of very many lines and documents, the cheapest are looked at",
    (
        "what the firm's registered cover still carries is drawn above documents, of which any part will do, or beside "
        "them where a product stands on a pledge; what secures certain lines only is shared among these"
    ),
    "products that pay somebody else than the firm close no gap",
    "interest and fees are least in fractions; whole minor units may cost a few more",
)


@dataclass(frozen=True, slots=True)
class Named:
    """A flow that the caller adds: what it is for, and its amount, above zero when it comes in."""

    on: date
    amount: Money
    name: str


async def cash_needs(
    database: Database, *, enterprise_id: str, opening: Money, minimum: Money, weeks: int, flows: Sequence[Named]
) -> dict[str, Any]:
    """Return the gap of each week and the cheapest mix of drawdowns that closes it."""
    currency = opening.currency
    async with database.snapshot() as tx:
        facts = await read_cash_facts(tx, enterprise_id=enterprise_id, currency=currency)
    moved = [each.flow for each in facts.known] + [Flow(each.on, each.amount.amount_minor) for each in flows]
    mix = await offload(
        cheapest_mix,
        moved,
        facts.instruments,
        available=facts.available,
        shared=facts.shared,
        start=facts.today,
        weeks=weeks,
        opening_minor=opening.amount_minor,
        minimum_minor=minimum.amount_minor,
    )
    bare = forecast(
        moved,
        start=facts.today,
        weeks=weeks,
        opening_minor=opening.amount_minor,
        minimum_minor=minimum.amount_minor,
    )
    return {
        "enterprise_id": enterprise_id,
        "as_of": facts.today.isoformat(),
        "minimum_balance": minimum.wire(),
        "weeks": [
            {
                "start": week.start.isoformat(),
                "opening": Money(week.opening, currency).wire(),
                "inflow": Money(week.inflow, currency).wire(),
                "outflow": Money(week.outflow, currency).wire(),
                "closing": Money(week.closing, currency).wire(),
                "gap": Money(week.gap, currency).wire(),
                "closing_with_drawdowns": Money(drawn.closing, currency).wire(),
                "gap_with_drawdowns": Money(drawn.gap, currency).wire(),
            }
            for week, drawn in zip(bare, mix.weeks, strict=True)
        ],
        "largest_gap": Money(max(week.gap for week in bare), currency).wire(),
        "known_flows": [_known(each, currency) for each in facts.known],
        **_mix(mix, facts, currency),
        "assumptions": list(ASSUMPTIONS),
    }


def _mix(mix: Mix, facts: CashFacts, currency: str) -> dict[str, Any]:
    # What cover carries above documents is of the same drawdown as what they carry.
    together: dict[tuple[Drawable, date, date], list[Draw]] = defaultdict(list)
    for each in mix.draws:
        together[facts.stand_on[each.instrument], each.on, each.repaid_on].append(each)
    rates = {each.name: each.rate for each in facts.instruments}
    left = {on: on.carried_minor for on, _, _ in together}
    drawdowns = []
    for (on, _, _), parts in together.items():
        principal, carried = sum(each.principal for each in parts), left[on]
        above = 0 if carried is None else max(0, principal - carried)
        if carried is not None:
            left[on] = carried - (principal - above)
        told = _draw(parts, on, rates[parts[0].instrument], currency)
        drawdowns.append({**told, "on_cover": Money(above, currency).wire()})
    return {
        "drawdowns": drawdowns,
        "cost": Money(mix.cost_minor, currency).wire(),
        "uncovered": Money(mix.uncovered_minor, currency).wire(),
    }


def _draw(parts: Sequence[Draw], on: Drawable, rate: int, currency: str) -> dict[str, Any]:
    def total(name: str) -> dict[str, str]:
        return Money(sum(getattr(each, name) for each in parts), currency).wire()

    first = parts[0]
    return {
        "line_id": on.line_id,
        "product": on.product,
        "documents": list(on.documents),
        "date": first.on.isoformat(),
        "principal": total("principal"),
        "rate": rate_text(rate),
        "interest": total("interest"),
        "fee": total("fee"),
        "paid_out": total("paid_out"),
        "repaid_date": first.repaid_on.isoformat(),
        "maturity_date": first.matures_on.isoformat(),
        "repaid": total("repaid"),
    }


def _known(known: Known, currency: str) -> dict[str, Any]:
    return {
        "date": known.flow.on.isoformat(),
        "direction": "in" if known.flow.minor > 0 else "out",
        "amount": Money(abs(known.flow.minor), currency).wire(),
        "source": known.source,
        "reference": known.reference,
    }
