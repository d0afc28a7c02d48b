"""The HTTP shapes of receivables."""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.receivables.domain.documents import FIRST_YEAR, LAST_YEAR
from shared.values.money import Amount

_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
Id = Annotated[str, Field(pattern=_ID)]


def _plain(text: str) -> str:
    if any(unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t" for character in text):
        message = "control characters are not text"
        raise ValueError(message)
    return text


Reason = Annotated[str, Field(min_length=3, max_length=1000), AfterValidator(_plain)]
Reference = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]


class Body(BaseModel):
    """A request body: what it does not name, it does not take."""

    model_config = ConfigDict(extra="forbid")


class ConfirmationIn(Body):
    """What the obligor confirms; an irrevocable undertaking is never assumed."""

    receivable_ids: list[Id] = Field(min_length=1, max_length=1000)
    undertaking: Literal["none", "irrevocable"]
    due_date: date | None = Field(default=None, ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))


class ReasonIn(Body):
    """Why."""

    reason: Reason


class ReferralDecisionIn(Body):
    """What a person decides on a document that waited, and why."""

    decision: Literal["accept", "reject"]
    reason: Reason


class DilutionIn(Body):
    """A credit note or set-off: how much, why, and the note's own reference."""

    amount: Amount
    reason: Reason
    reference: Reference


class ObligationIn(Body):
    """A debt between two firms as one of them states it; `number` is its own or its document's."""

    debtor_id: Id
    creditor_id: Id
    amount: Amount
    number: Reference
    issue_date: date = Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))
    due_date: date = Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))


class DisputeIn(Body):
    """Whether the obligor disputes the debt, and why."""

    disputed: bool
    reason: Reason


class VoucherIn(Body):
    """The confirmed payable to issue a voucher over."""

    programme_id: Id
    receivable_id: Id


class TransferIn(Body):
    """A part of a slice, for whom, and the trade that it pays."""

    slice_id: Id
    amount: Amount
    transferee_id: Id
    trade_reference: Reference


Decimals = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,8})?$", max_length=24, examples=["12.5"])]
_Name = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
_Day = Annotated[date, Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))]


class OrderLineIn(Body):
    """A line of an order: what, how much, the net price of a unit, the net amount."""

    line_id: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
    item: _Name = ""
    name: _Name = ""
    quantity: Decimals
    unit: _Name = ""
    price: Decimals | None = None
    amount: Annotated[str, Field(max_length=24, examples=["120.00"])] | None = None


class OrderIn(Body):
    """An order as one of its sides states it; the number is the buyer's. A sale is confirmed by its seller."""

    seller_id: Id
    buyer_id: Id
    side: Literal["purchase", "sale"] = "purchase"
    number: Reference
    issue_date: _Day
    delivery_date: _Day | None = None
    due_date: _Day | None = None
    amount: Amount
    lines: list[OrderLineIn] = Field(default=[], max_length=10_000)


class DeliveryLineIn(Body):
    """A line of a delivery: which line of the order it is, by its number, its item or its name, and how much."""

    line_id: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
    order_line: _Name = ""
    item: _Name = ""
    name: _Name = ""
    quantity: Decimals
    unit: _Name = ""


class DeliveryIn(Body):
    """What the seller says that it despatched of an order, or the buyer that it received."""

    kind: Literal["despatch", "receipt"]
    seller_id: Id
    buyer_id: Id
    order_number: Reference
    number: Reference
    issue_date: _Day
    lines: list[DeliveryLineIn] = Field(min_length=1, max_length=10_000)


class OrderConfirmationIn(Body):
    """The orders that are confirmed, all of them or none."""

    order_ids: list[Id] = Field(min_length=1, max_length=1000)


class ReductionIn(Body):
    """What is ordered no more, why, and the reference of who says so."""

    amount: Amount
    reason: Reason
    reference: Reference
