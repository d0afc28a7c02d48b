"""Orders: the document, its life, and what an invoice that cites it makes of it (DOMAIN §2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Literal

from services.receivables.domain.documents import Party
from services.receivables.domain.goods import Repaid
from services.receivables.domain.receivables import AlreadyApplied, Executed, move
from services.receivables.domain.trade_lines import TradeLine
from shared.values.money import InvalidAmount, Money

Side = Literal["purchase", "sale"]


class DuplicateOrder(ValueError):
    """The buyer's order of this number to this seller was registered before, in other words."""

    code: ClassVar[str] = "duplicate_order"

    def __init__(self, *, order_id: str, number: str, state: str) -> None:
        """Keep the order that stands."""
        self.order_id = order_id
        self.number = number
        self.state = state
        super().__init__(f"The order {number!r} was registered before, as {order_id}.")


class DuplicateReduction(ValueError):
    """The order was reduced under this reference before."""

    code: ClassVar[str] = "duplicate_reduction"

    def __init__(self, *, order_id: str, reference: str) -> None:
        """Keep the order and the reference."""
        self.order_id = order_id
        self.reference = reference
        super().__init__(f"The order was reduced under {reference!r} before.")


@dataclass(frozen=True, slots=True)
class Order:
    """An order as its sender states it: the buyer's number, what for, until when, and when the buyer is to pay."""

    syntax: str
    number: str
    issue_date: date
    amount: Money
    seller: Party
    buyer: Party
    side: Side = "purchase"
    delivery_date: date | None = None
    due_date: date | None = None
    lines: tuple[TradeLine, ...] = field(default=())

    def payable_on(self, *, default_days: int) -> date:
        """Return when the buyer is to pay: as stated, else so many days after delivery, or after the order."""
        return self.due_date or (self.delivery_date or self.issue_date) + timedelta(days=default_days)


class State(StrEnum):
    """Where an order stands."""

    REGISTERED = "registered"
    CONFIRMED = "confirmed"
    ASSIGNED = "assigned"
    FINANCED = "financed"
    SETTLED = "settled"
    REJECTED = "rejected"


class Step(StrEnum):
    """What can happen to an order; what its drawdown does to it follows the drawdown's assignment."""

    CONFIRM = "be confirmed"
    REJECT = "be rejected"
    REDUCE = "be reduced"


_NEXT: dict[tuple[State, Step], State] = {
    (State.REGISTERED, Step.CONFIRM): State.CONFIRMED,
    (State.REGISTERED, Step.REJECT): State.REJECTED,
    (State.CONFIRMED, Step.REDUCE): State.CONFIRMED,
    (State.ASSIGNED, Step.REDUCE): State.ASSIGNED,
    (State.FINANCED, Step.REDUCE): State.FINANCED,
}
_DONE: dict[Step, State] = {Step.CONFIRM: State.CONFIRMED, Step.REJECT: State.REJECTED}


def advance(*, order_id: str, state: str, asked: Step) -> Executed[State] | AlreadyApplied:
    """Return what a step makes of an order; NotPossible when its state does not allow it."""
    return move(_NEXT, _DONE, document_id=order_id, here=State(state), asked=asked)


def confirmer_of(*, side: str, seller_id: str, buyer_id: str) -> str:
    """Return who says that an order stands: the buyer of a purchase, the seller of a sale."""
    return buyer_id if side == "purchase" else seller_id


def drawer_of(*, side: str, seller_id: str, buyer_id: str) -> str:
    """Return who draws on an order: the seller of a purchase, the buyer of a sale, never who confirmed it."""
    return seller_id if side == "purchase" else buyer_id


def released_of(repaid: Repaid) -> int:
    """Return for how much a sale's goods are released, in minor units: the share of what was lent on that is repaid."""
    paid = repaid.lent_minor - min(max(repaid.outstanding_minor, 0), repaid.lent_minor)
    return repaid.carried_minor * paid // repaid.lent_minor


def reduce(*, open_: Money, by: Money) -> Money:
    """Return what is left of an order that is ordered no more in part; InvalidAmount above what is open."""
    if by.amount_minor <= 0:
        raise InvalidAmount(amount=by.wire()["amount"], reason="is not above zero")
    left = open_ - by
    if left.amount_minor < 0:
        raise InvalidAmount(amount=by.wire()["amount"], reason="is more than is open of the order")
    return left


@dataclass(frozen=True, slots=True)
class Invoiced:
    """What an invoice that cites an order makes of it: how much of the order it takes, and what is left open.

    `belongs_to` is the drawdown over the order: an invoice of an order that is lent on is that loan's (DOMAIN §2).
    """

    takes_minor: int
    open_minor: int
    belongs_to: str | None


def invoice(*, open_minor: int, invoiced_minor: int, state: str, drawdown_id: str | None) -> Invoiced:
    """Return what a confirmed invoice does to the order that it cites.

    It takes the place of that part of the order, never more than is open: what is invoiced above the order was never
    ordered. Once the loan is repaid the order binds no invoice any more.
    """
    takes = min(open_minor, invoiced_minor)
    bound = State(state) in {State.ASSIGNED, State.FINANCED}
    return Invoiced(takes, open_minor - takes, drawdown_id if bound else None)


def order_asset(*, seller_id: str, buyer_id: str, number_key: str) -> str:
    """Return how the registry names an order, with the claims that arise from it."""
    return f"order/{seller_id}/{buyer_id}/{number_key}"


def stated(order: Order) -> dict[str, Any]:
    """Return an order's words, by which a repetition is told from another order of the same number."""
    return {
        "side": order.side,
        "issue_date": order.issue_date,
        "currency": order.amount.currency,
        "amount_minor": order.amount.amount_minor,
        "lines": [each.stored() for each in order.lines],
    }
