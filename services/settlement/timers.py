"""What settlement does by itself, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from services.settlement.operations.rail import SimulatedRail
from services.settlement.operations.run_payments import run_payments
from shared.storage.database import Database

Tick = Callable[[], Awaitable[object]]
_PAYMENTS_EVERY_S = 0.05


def timers(database: Database, *, rail_timeout_s: float) -> Mapping[str, tuple[float, Tick]]:
    """Return name → (seconds, tick)."""
    rail = SimulatedRail(database, timeout_s=rail_timeout_s)
    return {"settlement/payments": (_PAYMENTS_EVERY_S, partial(run_payments, database, rail, timeout_s=rail_timeout_s))}
