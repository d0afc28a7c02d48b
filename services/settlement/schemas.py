"""The HTTP shapes of settlement."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.values.money import Amount

# PostgreSQL keeps no NUL, and no other control character belongs into a name or a reason.
_Text = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]
_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class Body(BaseModel):
    """A request body: what it does not name, it does not take."""

    model_config = ConfigDict(extra="forbid")


class BookIn(Body):
    """The first business day of an empty book."""

    opening_date: date


class ReasonIn(Body):
    """Why."""

    reason: _Text = Field(min_length=3, max_length=1000)


class EvidenceIn(Body):
    """What became of a payment that the rail never answered, and how one knows."""

    outcome: Literal["disbursed", "failed"]
    reason: _Text = Field(min_length=3, max_length=1000)


class BehaviourIn(Body):
    """What the simulated rail does with the next payments to an account."""

    account: _Text = Field(min_length=1, max_length=40)
    outcome: Literal["confirm", "refuse", "silence", "late"]
    count: int = Field(default=1, ge=0, le=1_000_000)


class EntryIn(Body):
    """One booked movement of a statement."""

    entry_id: _Text = Field(min_length=1, max_length=70)
    amount: Amount
    direction: Literal["credit", "debit"]
    value_date: date
    reference: _Text = Field(default="", max_length=500)
    end_to_end_id: _Text | None = Field(default=None, max_length=70)
    counterparty_account: _Text | None = Field(default=None, min_length=1, max_length=40)


class ClearingIn(Body):
    """What becomes of what waits in suspense: all of it, unless an amount says less.

    To a `loan`; to the `owner` of a receivable; back to the `payer`, to the account that the statement tells or a
    person does; or `debit`: against what had gone out unexplained and came back.
    """

    way: Literal["loan", "owner", "payer", "debit"]
    reason: _Text = Field(min_length=3, max_length=1000)
    amount: Amount | None = None
    loan_id: _Id | None = None
    receivable_id: _Id | None = None
    account: _Text | None = Field(default=None, min_length=1, max_length=40)
    against: _Id | None = None

    @model_validator(mode="after")
    def names_what_its_way_needs(self) -> Self:
        """Refuse a loan without its id, and what another way needs."""
        needs = {"loan": {"loan_id"}, "owner": {"receivable_id"}, "payer": set(), "debit": {"against"}}[self.way]
        given = {name for name in ("loan_id", "receivable_id", "account", "against") if getattr(self, name) is not None}
        if not needs <= given <= needs | ({"account"} if self.way == "payer" else set()):
            message = f"{self.way} needs {', '.join(sorted(needs)) or 'nothing more, or an account'}"
            raise ValueError(message)
        return self


class StatementIn(Body):
    """Entries of one account."""

    account: _Text = Field(min_length=1, max_length=40)
    entries: list[EntryIn] = Field(min_length=1, max_length=5000)


class CashIn(Body):
    """Money from outside that a run may count with: so much in all, to any firm or only to those named."""

    total: Amount
    by_enterprise: dict[_Id, Amount] = Field(default_factory=dict, max_length=10_000)


class NettingIn(Body):
    """What a netting run covers: the currency, the firms (all when none is named), and cash to quote with."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    enterprise_ids: list[_Id] | None = Field(default=None, min_length=2, max_length=10_000)
    cash: CashIn | None = None
    accept_hours: int | None = Field(default=None, ge=1, le=10_000)
