"""The shapes of what bounds, stops and secures drawdowns, and of a firm's cash."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.credit.schemas.body import Body, Id, Text
from shared.values.money import Amount


class ReasonIn(Body):
    """Why."""

    reason: Text


class BlockIn(Body):
    """Lines, and firms with every line of theirs, on which draws are stopped, and why.

    The reason is a code of the blocks policy; the reference tells causes of one reason apart (an order's number). The
    note is for the bank's people alone.
    """

    line_ids: list[Id] = Field(default_factory=list, max_length=500)
    enterprise_ids: list[Id] = Field(default_factory=list, max_length=500)
    reason: str = Field(pattern=r"^[a-z][a-z_]{0,39}$")
    reference: str = Field(default="", max_length=100, pattern=r"^[^\x00-\x1f]*$")
    note: Text

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not self.line_ids and not self.enterprise_ids:
            message = "name a line or an enterprise"
            raise ValueError(message)
        return self


class PairLimitIn(Body):
    """The most that is financed of one seller's claims on one obligor."""

    seller_id: Id
    obligor_id: Id
    limit: Amount
    reason: Text


class FlowIn(Body):
    """Money that the firm expects or owes on a day, which the platform does not know of."""

    due_date: date
    direction: Literal["in", "out"]
    amount: Amount
    name: str = Field(min_length=1, max_length=200)


class CashNeedsIn(Body):
    """What the firm has, what it wants to keep at the end of every week, and what else moves, over some weeks."""

    opening_balance: Amount
    minimum_balance: Amount
    weeks: int = Field(default=13, ge=1, le=26)
    flows: list[FlowIn] = Field(default=[], max_length=1000)


class CoverIn(Body):
    """Collateral or a guarantee that shall secure a firm's loans: on all of its lines, or on some."""

    enterprise_id: Id
    provider_id: Id
    kind: Literal["building", "instrument", "equipment", "goods", "guarantee"]
    asset: str = Field(pattern=r"^[ -~]{1,100}$", description="Its title, serial or contract number.")
    description: Text
    secured: Amount
    rank: int = Field(default=1, ge=1, le=99)
    valid_until: date
    line_ids: Annotated[list[Id], Field(min_length=1, max_length=100)] | None = None


class ValuedIn(Body):
    """What it is worth, and what others' charges take before ours."""

    step: Literal["value"]
    value: Amount
    prior_charges: Amount
    valued_date: date
    valuer: Text


class RegisteredIn(Body):
    """It is in the register, or the guarantee is signed."""

    step: Literal["register"]
    registry_reference: str = Field(pattern=r"^[!-~]{1,100}$")


class EndedIn(Body):
    """It is given back, or made use of."""

    step: Literal["release", "enforce"]
    reason: Text


CoverStepIn = Annotated[ValuedIn | RegisteredIn | EndedIn, Field(discriminator="step")]
