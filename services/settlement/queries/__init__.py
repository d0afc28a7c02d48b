"""What settlement's API reads."""

from __future__ import annotations

from services.settlement.queries.reading import (
    accounts,
    collections,
    current_day,
    income,
    loan,
    loans,
    suspense,
    transactions,
)

__all__ = ["accounts", "collections", "current_day", "income", "loan", "loans", "suspense", "transactions"]
