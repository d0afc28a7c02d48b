"""Three-way match: what was ordered, what was delivered, what is invoiced; line by line, within tolerances (DOMAIN §2).

Quantities and prices are compared exactly: a tolerance is a share in millionths of what was ordered or delivered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Literal

from services.receivables.domain.parties import name_key
from services.receivables.domain.trade_lines import TradeLine
from shared.values.money import minor_digits
from shared.values.rates import MILLION

Status = Literal["matched", "partial", "unmatched"]
NOT_ORDERED, AMBIGUOUS = "not_ordered", "ambiguous_line"
DELIVERED_IN_PART = "delivered_in_part"
# A quantity times a price times a tolerance has more digits than decimals keep by themselves.
_EXACT = Context(prec=100)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far an invoice may be above what it stands on, in millionths, and what counts as delivered."""

    quantity: int
    price: int
    amount: int
    needs_delivery: bool


@dataclass(frozen=True, slots=True)
class Ordered:
    """What was ordered; the amount in minor units."""

    lines: tuple[TradeLine, ...]
    amount_minor: int
    currency: str

    def line_of(self, line: TradeLine) -> TradeLine | str:
        """Return the order's line that a line of a delivery or an invoice means, or why there is none.

        Its own word counts first; else the item; else the name. Two that could be meant are none.
        """
        keys = ((line.order_line, "line_id"), (line.item, "item"))
        for said, field in keys:
            if said:
                return _one([each for each in self.lines if getattr(each, field) == said])
        if not line.name:
            return NOT_ORDERED
        return _one([each for each in self.lines if name_key(each.name) == name_key(line.name)])


@dataclass(frozen=True, slots=True)
class Before:
    """What other invoices of the order took before this one: quantities by order line, and minor units."""

    quantities: Mapping[str, Decimal]
    amount_minor: int = 0


NOTHING_BEFORE = Before({})


@dataclass(frozen=True, slots=True)
class LineMatch:
    """What was found of one line of an invoice; `order_line` is empty where nothing was ordered."""

    line_id: str
    order_line: str
    status: Status
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """What was found of an invoice, with every reason."""

    status: Status
    reasons: tuple[str, ...]
    lines: tuple[LineMatch, ...]


def delivered_by_line(ordered: Ordered, lines: Iterable[TradeLine]) -> dict[str, Decimal]:
    """Return how much was delivered of each line of the order; what was not ordered counts for none."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        meant = ordered.line_of(line)
        if isinstance(meant, TradeLine):
            found[meant.line_id] += line.quantity
    return dict(found)


def took(ordered: Ordered, before: Before, *, lines: Sequence[TradeLine], amount_minor: int) -> Before:
    """Return what the invoices of an order have taken with one more."""
    quantities = defaultdict(Decimal, before.quantities)
    for key, quantity in delivered_by_line(ordered, lines).items():
        quantities[key] += quantity
    return Before(dict(quantities), before.amount_minor + amount_minor)


def match(
    ordered: Ordered,
    delivered: Mapping[str, Decimal] | None,
    *,
    lines: Sequence[TradeLine],
    amount_minor: int,
    currency: str,
    tolerances: Tolerances,
    before: Before = NOTHING_BEFORE,
) -> Match:
    """Return how an invoice stands to its order and to what was delivered, after the invoices before it.

    `delivered` is None where nobody said anything of a delivery: then it cannot match whole, unless nothing but the
    amounts can be compared anyway; with `needs_delivery` nothing was delivered then. Lines that mean one line of the
    order are looked at together: which of them comes first makes no difference.
    """
    if currency != ordered.currency:
        return Match("unmatched", ("currency_differs",), ())
    reasons = []
    above = before.amount_minor + amount_minor
    if _exceeds(Decimal(above), Decimal(ordered.amount_minor), tolerances.amount):
        reasons.append("amount_above_order")
    known = {} if delivered is None and tolerances.needs_delivery else delivered
    if known is None:
        reasons.append("no_delivery_recorded")
    if not lines or not ordered.lines:
        reasons.append("amounts_only")
        return Match("unmatched" if "amount_above_order" in reasons else "partial", tuple(reasons), ())
    meant = [ordered.line_of(line) for line in lines]
    asked: dict[str, Decimal] = defaultdict(Decimal)
    for line, order_line in zip(lines, meant, strict=True):
        if isinstance(order_line, TradeLine):
            asked[order_line.line_id] += line.quantity
    found = []
    for line, order_line in zip(lines, meant, strict=True):
        if isinstance(order_line, str):
            found.append(LineMatch(line.line_id, "", "unmatched", (order_line,)))
            continue
        taken = before.quantities.get(order_line.line_id, Decimal(0))
        why = [
            *_terms(line, order_line, ordered.currency, tolerances),
            *_quantities(
                asked[order_line.line_id],
                taken,
                order_line.quantity,
                None if known is None else known.get(order_line.line_id, Decimal(0)),
                tolerances,
            ),
        ]
        found.append(LineMatch(line.line_id, order_line.line_id, _line_status(why), tuple(why)))
    return Match(_status([each.status for each in found], reasons), tuple(reasons), tuple(found))


def _one(found: Sequence[TradeLine]) -> TradeLine | str:
    if len(found) == 1:
        return found[0]
    return AMBIGUOUS if found else NOT_ORDERED


def _terms(line: TradeLine, ordered: TradeLine, currency: str, tolerances: Tolerances) -> list[str]:
    """Return what is other than was ordered of unit, price and amount."""
    reasons = []
    if line.unit and ordered.unit and line.unit.casefold() != ordered.unit.casefold():
        reasons.append("unit_differs")
    if line.price is not None and ordered.price is not None and _exceeds(line.price, ordered.price, tolerances.price):
        reasons.append("price_above_order")
    price = line.price if line.price is not None else ordered.price
    if line.amount_minor is not None and price is not None:
        worth = _EXACT.multiply(line.quantity, price).scaleb(minor_digits(currency), _EXACT)
        # Half a minor unit is a rounding, never a difference.
        if _exceeds(Decimal(line.amount_minor) - Decimal("0.5"), worth, tolerances.amount):
            reasons.append("amount_above_its_price")
    return reasons


def _quantities(
    asked: Decimal, taken: Decimal, ordered: Decimal, delivered: Decimal | None, tolerances: Tolerances
) -> list[str]:
    reasons = []
    if _exceeds(taken + asked, ordered, tolerances.quantity):
        reasons.append("quantity_above_order")
    if delivered is not None and _exceeds(taken + asked, delivered, tolerances.quantity):
        reasons.append(DELIVERED_IN_PART if delivered > taken else "not_delivered")
    return reasons


def _exceeds(found: Decimal, bound: Decimal, tolerance: int) -> bool:
    return _EXACT.multiply(found, Decimal(MILLION)) > _EXACT.multiply(bound, Decimal(MILLION + tolerance))


def _line_status(reasons: Sequence[str]) -> Status:
    if not reasons:
        return "matched"
    return "partial" if list(reasons) == [DELIVERED_IN_PART] else "unmatched"


def _status(lines: Sequence[Status], reasons: Sequence[str]) -> Status:
    if "amount_above_order" in reasons or all(each == "unmatched" for each in lines):
        return "unmatched"
    return "matched" if not reasons and all(each == "matched" for each in lines) else "partial"
