"""Goods in a warehouse as security: the receipt (仓单), its life, and what repayment releases of it (DOMAIN §2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, ClassVar, Literal

from services.receivables.domain.documents import UnreadableDocument
from services.receivables.domain.receivables import AlreadyApplied, Executed, move

THOUSAND = 1000
_QUANTITY = re.compile(r"\d{1,12}(?:\.\d{1,3})?", re.ASCII)
Release = Literal["proportional", "at_the_end"]


class DuplicateReceipt(ValueError):
    """The warehouse's receipt of this number stands already, in other words or for another owner (R8)."""

    code: ClassVar[str] = "duplicate_receipt"

    def __init__(self, *, receipt_number: str, warehouse: str) -> None:
        """Keep number and warehouse; whose it is, nobody learns here (R23)."""
        self.receipt_number = receipt_number
        self.warehouse = warehouse
        super().__init__(f"The receipt {receipt_number!r} of {warehouse!r} was registered before.")


class UnknownGoodsClass(ValueError):
    """The policy has no such class of goods, so nobody can say what they are worth."""

    code: ClassVar[str] = "unknown_goods_class"

    def __init__(self, *, goods_class: str, known: tuple[str, ...]) -> None:
        """Keep the class asked for, and those that there are."""
        self.goods_class = goods_class[:40]
        self.known = known
        super().__init__(f"{self.goods_class!r} is no class of goods; these are: {', '.join(known)}.")


class GoodsNotValued(ValueError):
    """Nothing is pledged that nobody has valued."""

    code: ClassVar[str] = "goods_not_valued"

    def __init__(self, *, goods_id: str) -> None:
        """Keep the goods."""
        self.goods_id = goods_id
        super().__init__(f"The goods {goods_id} have no valuation that counts today.")


class State(StrEnum):
    """Where goods stand. *Agreed* and *releasing* wait for the movables registry."""

    REGISTERED = "registered"
    AGREED = "agreed"
    PLEDGED = "pledged"
    ASSIGNED = "assigned"
    FINANCED = "financed"
    RELEASING = "releasing"
    RELEASED = "released"
    REJECTED = "rejected"


class Step(StrEnum):
    """What can happen to goods; what their drawdown does to them follows the drawdown's assignment."""

    VALUE = "be valued"
    REJECT = "be rejected"
    AGREE = "be pledged"
    FILE = "be filed"
    REFUSE = "be refused by the registry"
    GIVE_BACK = "be released"
    DISCHARGE = "be discharged"


_NEXT: dict[tuple[State, Step], State] = {
    (State.REGISTERED, Step.VALUE): State.REGISTERED,
    (State.AGREED, Step.VALUE): State.AGREED,
    (State.PLEDGED, Step.VALUE): State.PLEDGED,
    (State.ASSIGNED, Step.VALUE): State.ASSIGNED,
    (State.FINANCED, Step.VALUE): State.FINANCED,
    (State.REGISTERED, Step.REJECT): State.REJECTED,
    (State.REGISTERED, Step.AGREE): State.AGREED,
    (State.AGREED, Step.FILE): State.PLEDGED,
    (State.AGREED, Step.REFUSE): State.REGISTERED,
    (State.PLEDGED, Step.GIVE_BACK): State.RELEASING,
    (State.RELEASING, Step.DISCHARGE): State.RELEASED,
}
_DONE: dict[Step, State] = {Step.REJECT: State.REJECTED}
# Credit knows goods in these states and is told what they are worth.
SECURING = (State.PLEDGED, State.ASSIGNED, State.FINANCED)


def advance(*, goods_id: str, state: str, asked: Step) -> Executed[State] | AlreadyApplied:
    """Return what a step makes of goods; NotPossible when their state does not allow it."""
    return move(_NEXT, _DONE, document_id=goods_id, here=State(state), asked=asked)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A warehouse receipt as its holder states it; the quantity in thousandths of its unit.

    `due_date` is when what is lent on the goods is to be repaid. Latitude and longitude are millionths of a degree.
    """

    owner_id: str
    number: str
    warehouse: str
    country: str
    city: str
    latitude: int | None
    longitude: int | None
    item: str
    goods_class: str
    quantity_milli: int
    unit: str
    currency: str
    condition: str
    issue_date: date
    due_date: date

    def stated(self) -> dict[str, Any]:
        """Return the receipt's words, by which a repetition is told from another receipt of the same number."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in {"number", "warehouse"}}


def read_quantity(text: str, *, field: str = "quantity") -> int:
    """Return the thousandths of a unit that a decimal string means; UnreadableDocument for what is none above zero."""
    found = text.strip()
    if not _QUANTITY.fullmatch(found) or not any(digit in found for digit in "123456789"):
        raise UnreadableDocument(
            f"The {field} {found[:30]!r} is not a decimal number above zero of at most three decimals.", field=field
        )
    whole, _, decimals = found.partition(".")
    return int(whole) * THOUSAND + int(decimals.ljust(3, "0"))


def quantity_text(milli: int) -> str:
    """Return a quantity as it is shown: 1500 → "1.5"."""
    whole, rest = divmod(milli, THOUSAND)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


def receipt_asset(*, warehouse_key: str, number_key: str) -> str:
    """Return how the registry names the goods of a receipt: by warehouse and number, whoever pledges them (R8)."""
    return f"goods/{warehouse_key}/{number_key}"


def secured_asset(*, goods_id: str) -> str:
    """Return how the registry names what a pledge secures: one loan at a time."""
    return f"pledge/{goods_id}"


@dataclass(frozen=True, slots=True)
class Repaid:
    """How far a loan over goods is repaid: lent and still open principal, and what the goods carried when it began."""

    lent_minor: int
    outstanding_minor: int
    carried_minor: int

    @property
    def to_carry_minor(self) -> int:
        """Return what the goods must go on carrying: as much for each unit still open as when it was lent."""
        left = min(max(self.outstanding_minor, 0), self.lent_minor)
        return -(-self.carried_minor * left // self.lent_minor)


def released(*, quantity_milli: int, released_milli: int, eligible_minor: int, repaid: Repaid, policy: Release) -> int:
    """Return how much of the receipt is released in all once so much is repaid, in thousandths of its unit.

    In proportion to the principal repaid, and never so much that the rest carries less for what is open than all of
    it did for the loan: of goods that fell, less is released. What was released stays so, whatever is reversed.
    `eligible_minor` is what the goods not released yet carry today.
    """
    if policy == "at_the_end" or repaid.lent_minor <= 0 or repaid.outstanding_minor >= repaid.lent_minor:
        return released_milli
    paid = repaid.lent_minor - max(repaid.outstanding_minor, 0)
    in_proportion = quantity_milli * paid // repaid.lent_minor
    still = quantity_milli - released_milli
    spare = max(0, eligible_minor - repaid.to_carry_minor)
    by_value = released_milli + (still * spare // eligible_minor if eligible_minor else 0)
    return max(released_milli, min(in_proportion, by_value))
