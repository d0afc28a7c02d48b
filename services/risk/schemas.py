"""The HTTP shapes of risk."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from shared.values.money import Amount


class RatingIn(BaseModel):
    """A rating: the most the bank lends to or on the firm, and what its grade does to weight and price."""

    model_config = ConfigDict(extra="forbid")

    enterprise_id: str = Field(max_length=40)
    grade: str = Field(max_length=8)
    cap: Amount
    multiplier: str = "1.000000"
    risk_spread: str
    reasons: list[str] = Field(min_length=1, max_length=20)
    valid_until: date
