"""What settlement does by itself, and how often."""

from __future__ import annotations

from collections.abc import Mapping

from services.settlement.operations.end_nettings import end_late_nettings
from services.settlement.operations.rail import SimulatedRail
from services.settlement.operations.run_payments import run_payments
from shared.messaging.pipeline import Timer
from shared.storage.database import Database

_PAYMENTS_EVERY_S, _NETTINGS_EVERY_S = 0.05, 5.0


def timers(*, rail_timeout_s: float) -> Mapping[str, Timer]:
    """Return name → timer; a payment whose rail is silent is asked about after `rail_timeout_s`."""

    async def move_payments(database: Database) -> None:
        rail = SimulatedRail(database, timeout_s=rail_timeout_s)
        await run_payments(database, rail, timeout_s=rail_timeout_s)

    return {
        "payments": Timer(_PAYMENTS_EVERY_S, move_payments),
        "nettings": Timer(_NETTINGS_EVERY_S, end_late_nettings),
    }
