"""Tick → operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from services.credit.operations.close_drawdowns import expire_drawdowns
from shared.storage.database import Database

EVERY_S = 1.0
TIMERS: Mapping[str, Callable[[Database], Awaitable[object]]] = {"credit/expiry": expire_drawdowns}
