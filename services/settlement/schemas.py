"""The HTTP shapes of settlement."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.values.money import Amount

# PostgreSQL keeps no NUL, and no other control character belongs into a name or a reason.
_Text = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]


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


class StatementIn(Body):
    """Entries of one account."""

    account: _Text = Field(min_length=1, max_length=40)
    entries: list[EntryIn] = Field(min_length=1, max_length=5000)
