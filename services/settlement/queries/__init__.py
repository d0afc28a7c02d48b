"""What settlement's API reads."""

from __future__ import annotations

from services.settlement.queries.netting_reading import UnknownRun, netting, netting_run, nettings, obligations
from services.settlement.queries.reading import (
    accounts,
    collections,
    current_day,
    income,
    loan,
    loans,
    suspended,
    suspense,
    transactions,
)

__all__ = [
    "UnknownRun",
    "accounts",
    "collections",
    "current_day",
    "income",
    "loan",
    "loans",
    "netting",
    "netting_run",
    "nettings",
    "obligations",
    "suspended",
    "suspense",
    "transactions",
]
