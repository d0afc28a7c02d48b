"""Technical time is the database's: expiry, leases and deadlines are decided by one clock."""

from __future__ import annotations

from datetime import datetime

from shared.storage.database import Transaction


async def database_now(tx: Transaction) -> datetime:
    """Return the database's clock_timestamp() as a UTC instant."""
    now: datetime = await tx.pg.fetchval("SELECT clock_timestamp()")
    return now
