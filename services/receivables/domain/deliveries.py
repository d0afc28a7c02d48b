"""What was delivered of an order: the seller says that it despatched it, the buyer that it received it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

from services.receivables.domain.documents import Party
from services.receivables.domain.trade_lines import TradeLine

Kind = Literal["despatch", "receipt"]


class OrderNotKnown(LookupError):
    """No order of this number stands between the two firms."""

    code: ClassVar[str] = "order_not_known"

    def __init__(self, *, number: str) -> None:
        """Keep the number asked for."""
        self.number = number[:200]
        super().__init__(f"There is no order {self.number!r} between these firms.")


class DuplicateDelivery(ValueError):
    """A note of this number on the order was recorded before, in other words."""

    code: ClassVar[str] = "duplicate_delivery"

    def __init__(self, *, delivery_id: str, number: str) -> None:
        """Keep the note that stands."""
        self.delivery_id = delivery_id
        self.number = number
        super().__init__(f"The note {number!r} on this order was recorded before, as {delivery_id}.")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A despatch advice or a receipt: which order, under which number, how much of each line."""

    kind: Kind
    syntax: str
    order_number: str
    number: str
    issue_date: date
    seller: Party
    buyer: Party
    lines: tuple[TradeLine, ...]


def counted(
    despatched: Sequence[TradeLine] | None, received: Sequence[TradeLine] | None, *, despatch_counts: bool
) -> Sequence[TradeLine] | None:
    """Return the lines that count as delivered, None when nobody who counts said anything.

    What the buyer received counts before what its seller says that it sent.
    """
    if received is not None:
        return received
    return despatched if despatch_counts else None
