"""What receivables publishes of goods in a warehouse: their pledge, what they are worth, their release."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar

from shared.events.envelope import Event
from shared.values.money import Amount


class GoodsEvent(Event):
    """Goods of one receipt; `enterprise_id` is whose they are."""

    topic: ClassVar[str] = "scf.receivables.goods.v1"
    goods_id: str
    enterprise_id: str

    @property
    def subject(self) -> str:
        return self.goods_id


class GoodsPledged(GoodsEvent):
    """Trigger: two persons agreed, the registry filed the pledge. Consumers: credit can finance it, console.

    Contents: what the goods are worth, what of it may be lent against and why that is less; `due_date` is when what
    is lent on them is to be repaid.
    """

    type: ClassVar[str] = "goods.pledged.v1"
    item: str
    warehouse: str
    receipt_number: str
    value: Amount
    eligible: Amount
    reasons: list[str]
    due_date: date
    registry_reference: str
    registered_at: datetime


class GoodsPledgeRefused(GoodsEvent):
    """Trigger: the registry has the goods for another pledge. Consumers: console. Contents: why."""

    type: ClassVar[str] = "goods.pledge_refused.v1"
    code: str
    reason: str


class GoodsRevalued(GoodsEvent):
    """Trigger: a day, a valuation, a reading or a release changes what pledged goods carry. Consumers: credit (R6)."""

    type: ClassVar[str] = "goods.revalued.v1"
    value: Amount
    eligible: Amount
    reasons: list[str]


class GoodsReleased(GoodsEvent):
    """Trigger: principal is repaid, the loan is closed, or a pledge is given back. Consumers: credit, console.

    `released` and `left` are quantities in the receipt's unit, all in all; `wholly` ends the pledge.
    """

    type: ClassVar[str] = "goods.released.v1"
    released: str
    left: str
    unit: str
    wholly: bool
