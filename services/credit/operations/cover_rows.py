"""A cover of its row, as the table or JSON gives it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.credit.domain.covers import Cover, CoverState


def cover_of(row: Mapping[str, Any]) -> Cover:
    """Return a cover of its row."""
    line_ids = row["line_ids"]
    return Cover(
        cover_id=row["cover_id"],
        asset=row["asset"],
        kind=row["kind"],
        state=CoverState(row["state"]),
        value_minor=row["value_minor"],
        valued_on=_date(row["valued_date"]),
        prior_minor=row["prior_minor"],
        rank=row["rank"],
        secured_minor=row["secured_minor"],
        valid_until=_date(row["valid_until"]) or date.min,
        line_ids=None if line_ids is None else frozenset(line_ids),
    )


def _date(said: date | str | None) -> date | None:
    return date.fromisoformat(said) if isinstance(said, str) else said
