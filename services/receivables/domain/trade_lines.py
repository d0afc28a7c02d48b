"""Lines of orders, deliveries and invoices: what, how much of it, at which price; in EN 16931's terms where it has one.

Quantities and unit prices are exact decimals: neither is money, and both have more decimals than a currency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from services.receivables.domain.documents import UnreadableDocument, read_text
from shared.values.money import Money, minor_text, parse_minor

MOST_LINES = 10_000
LONGEST_NAME = 200
_EXACT = Context(prec=40)
_DECIMAL = re.compile(r"-?\d{1,12}(?:\.\d{1,8})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TradeLine:
    """A line: its number (BT-126), item (BT-156 or BT-155), quantity (BT-129), unit (BT-130), net price, net amount.

    A delivery's line has neither price nor amount. `order_line` is the line of the order that it says it is (BT-132).
    """

    line_id: str
    item: str
    name: str
    quantity: Decimal
    unit: str
    price: Decimal | None = None
    amount_minor: int | None = None
    order_line: str = ""

    def stored(self) -> dict[str, Any]:
        """Return the line as it is kept: numbers as text, so that none loses a decimal."""
        return {
            "line_id": self.line_id,
            "item": self.item,
            "name": self.name,
            "quantity": format(self.quantity, "f"),
            "unit": self.unit,
            "price": None if self.price is None else format(self.price, "f"),
            "amount_minor": self.amount_minor,
            "order_line": self.order_line,
        }

    def wire(self, *, currency: str) -> dict[str, Any]:
        """Return the line as it is shown."""
        shown = self.stored()
        minor = shown.pop("amount_minor")
        return {**shown, "amount": None if minor is None else minor_text(amount_minor=minor, currency=currency)}


def stored_line(kept: Mapping[str, Any]) -> TradeLine:
    """Return a line from how it is kept."""
    price = kept["price"]
    numbers = {"quantity": Decimal(kept["quantity"]), "price": None if price is None else Decimal(price)}
    return TradeLine(**{**kept, **numbers})


def read_decimal(text: str | None, *, field: str) -> Decimal:
    """Return a quantity or price; UnreadableDocument for what is none, or has more digits than any."""
    found = (text or "").strip()
    if not _DECIMAL.fullmatch(found):
        raise UnreadableDocument(f"The {field} {found[:30]!r} is not a plain decimal number.", field=field)
    return Decimal(found)


def read_line(fields: Mapping[str, str | None], *, currency: str) -> TradeLine:
    """Return a line from its texts by name; UnreadableDocument or InvalidAmount when one is not what it should be."""
    price, amount = fields.get("price"), fields.get("amount")
    return TradeLine(
        line_id=read_text(fields.get("line_id"), field="line number", longest=LONGEST_NAME),
        item=read_text(fields.get("item"), field="item", longest=LONGEST_NAME),
        name=read_text(fields.get("name"), field="item name"),
        quantity=read_decimal(fields.get("quantity"), field="quantity"),
        unit=read_text(fields.get("unit"), field="unit", longest=LONGEST_NAME),
        price=read_decimal(price, field="price") if price else None,
        amount_minor=parse_minor(amount=amount.strip(), currency=currency) if amount else None,
        order_line=read_text(fields.get("order_line"), field="order line", longest=LONGEST_NAME),
    )


def price_of_one(price: str | None, base: str | None) -> Decimal | None:
    """Return the net price of one unit, given for a base quantity (BT-149); UnreadableDocument for what is none."""
    if not price:
        return None
    per = read_decimal(base, field="base quantity") if base else Decimal(1)
    if per <= 0:
        raise UnreadableDocument("The base quantity of a price is above zero.", field="base quantity")
    return _EXACT.divide(read_decimal(price, field="price"), per).normalize(_EXACT)


def check_lines(lines: tuple[TradeLine, ...]) -> tuple[TradeLine, ...]:
    """Return the lines of one document; UnreadableDocument when there are too many or two have one number."""
    if len(lines) > MOST_LINES:
        raise UnreadableDocument(f"The document has more than {MOST_LINES} lines.", field="lines")
    numbers = [each.line_id for each in lines]
    if "" in numbers or len(set(numbers)) < len(numbers):
        raise UnreadableDocument("Each line has a number of its own.", field="lines")
    return lines


def sum_of(lines: tuple[TradeLine, ...], *, currency: str) -> Money:
    """Return the sum of the lines' net amounts."""
    return Money(sum(each.amount_minor or 0 for each in lines), currency)
