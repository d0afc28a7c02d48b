"""The HTTP shapes of receivables."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.receivables.domain.batches import RejectionCode
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


class UploadOut(BaseModel):
    """An upload of many documents and how far it is; `total` is not known before it was looked through."""

    upload_id: str
    file: str
    state: Literal["receiving", "waiting", "working", "done", "refused"]
    total: int | None
    done: int
    accepted: int
    referred: int
    duplicate: int
    refused: int
    code: str | None
    message: str | None
    received_at: datetime
    ended_at: datetime | None


class UploadPage(BaseModel):
    """Uploads, newest first; `next` is the cursor of the page after it."""

    items: list[UploadOut]
    next: str | None


class DilutionIn(Body):
    """A credit note or set-off: how much, why, and the note's own reference."""

    amount: Amount
    reason: Reason
    reference: Reference


class FilterIn(Body):
    """Which of what is validated and owed by the caller: of a seller, due between two days, each of at most so much."""

    seller_id: Id | None = None
    due_from: date | None = None
    due_until: date | None = None
    each_up_to: Amount | None = None


class ChoiceIn(Body):
    """The receivables to decide on together: by a filter, or one by one."""

    filter: FilterIn | None = None
    receivable_ids: list[Id] | None = Field(default=None, min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.filter is None) == (self.receivable_ids is None):
            message = "either a filter or receivable_ids"
            raise ValueError(message)
        return self


class ConfirmationBatchIn(ChoiceIn):
    """What the obligor confirms together; an irrevocable undertaking is never assumed."""

    undertaking: Literal["none", "irrevocable"]
    due_date: date | None = Field(default=None, ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))


class RejectionBatchIn(ChoiceIn):
    """What the obligor rejects together, by which reason code, and in its own words."""

    code: RejectionCode
    reason: Reason


class PaymentIn(Body):
    """What the obligor paid the seller: how much, when, and the reference of the transfer."""

    amount: Amount
    paid_date: date = Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))
    reference: Reference


class SlicePaymentIn(Body):
    """That the obligor paid a slice, whole, to its holder: when, and the reference of the transfer."""

    paid_date: date = Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))
    reference: Reference


class NotePartIn(Body):
    """How much of a credit note a receivable is lowered by."""

    receivable_id: Id
    by: Amount


class NoteDecisionIn(Body):
    """The receivables that a waiting credit note lowers, none to reject the note, and why.

    What they are not lowered by, seller and obligor settle between themselves: a refund of what was paid already.
    """

    parts: list[NotePartIn] = Field(max_length=100)
    reason: Reason

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({each.receivable_id for each in self.parts}) < len(self.parts):
            message = "a receivable is named twice"
            raise ValueError(message)
        return self


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


class OfferIn(TransferIn):
    """One of many offers, with a key of its own."""

    idempotency_key: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
    root_id: Id


class OffersIn(Body):
    """Many offers; each is one of its own."""

    items: list[OfferIn] = Field(min_length=1, max_length=1000)


class ReplyIn(Body):
    """One of many answers to offers, with a key of its own."""

    idempotency_key: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
    root_id: Id
    transfer_id: Id
    answer: Literal["accept", "decline"]


class RepliesIn(Body):
    """Many answers to offers; each is one of its own."""

    items: list[ReplyIn] = Field(min_length=1, max_length=1000)


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


_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["0" * 64])]


class NoticeDeliveryIn(Body):
    """How a notice reached its obligor, and what proves it: a tracking number, the hash of a signed receipt.

    `digest` is of the text that was delivered: it must be the notice's own.
    """

    means: Literal["registered_mail", "courier", "email", "in_person"]
    delivered_at: AwareDatetime
    digest: _Digest
    proof: Reference
    proof_sha256: _Digest | None = None


class AssentIn(Body):
    """An obligor's assent that came outside of the platform: who signed it, when, how it came, and what proves it."""

    given_date: date
    signed_by: Reference
    means: Literal["registered_mail", "courier", "email", "in_person"]
    proof: Reference
    proof_sha256: _Digest


class AcknowledgementIn(Body):
    """The text that the obligor acknowledges, by its digest."""

    digest: _Digest


_Quantity = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$", max_length=16, examples=["1500.5"])]
_Degrees = Annotated[str, Field(pattern=r"^-?[0-9]{1,3}(\.[0-9]{1,12})?$", max_length=17, examples=["31.2304"])]
_Word = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
_Said = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]


class GoodsIn(Body):
    """A warehouse receipt as its holder states it; `due_date` is when what is lent on the goods is to be repaid."""

    owner_id: Id
    receipt_number: Reference
    warehouse: _Said
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    city: _Said
    latitude: _Degrees | None = None
    longitude: _Degrees | None = None
    item: _Said
    goods_class: _Word
    quantity: _Quantity
    unit: Annotated[str, Field(min_length=1, max_length=20), AfterValidator(_plain)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["CNY"])]
    condition: _Word
    issue_date: _Day
    due_date: _Day


class ValuationIn(Body):
    """What a unit of the goods was worth on a day, by whom; in which condition they were seen then, if they were."""

    valued_date: _Day
    unit_value: Amount
    source: _Said
    condition: _Word | None = None


_Pair = Annotated[list[Annotated[str, Field(max_length=20)]], Field(min_length=2, max_length=2)]


class GoodsBoundsIn(Body):
    """What was agreed in place of the policy of the class: (least, most) of each, metres from the receipt's place."""

    temperature: _Pair | None = None
    humidity: _Pair | None = None
    radius_m: int | None = Field(default=None, ge=1, le=1_000_000)


class PledgeIn(Body):
    """By which devices the goods are watched, and between which bounds."""

    devices: list[Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_plain)]] = Field(
        default=[], max_length=100
    )
    bounds: GoodsBoundsIn = GoodsBoundsIn()


class CrosscheckIn(Body):
    """Which bank is asked, as we call it, and about invoices issued in which period."""

    partner: Reference
    issued_from: _Day
    issued_to: _Day


class SightingDecisionIn(Body):
    """What a person found out about a claim that another bank has as well, and how."""

    decision: Literal["cleared", "confirmed"]
    reason: Reason
