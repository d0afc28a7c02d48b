"""The HTTP shapes of risk."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.values.money import Amount

# PostgreSQL keeps no NUL, and no other control character belongs into a reason.
_Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]


class RatingIn(BaseModel):
    """A rating: the most the bank lends to or on the firm, and what its grade does to weight and price."""

    model_config = ConfigDict(extra="forbid")

    enterprise_id: _Text = Field(max_length=40)
    grade: _Text = Field(max_length=8)
    cap: Amount
    multiplier: _Text = "1.000000"
    risk_spread: _Text
    reasons: list[_Text] = Field(min_length=1, max_length=20)
    valid_until: date
