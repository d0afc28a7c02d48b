"""`tributary events parked`: what waits in the inboxes, service by service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.messaging.parked import list_parked
from shared.runtime.settings import Settings
from shared.storage.database import Database
from tributary.services import SERVICES

_PAGE = 500


async def parked(settings: Settings, *, services: Sequence[str] = SERVICES) -> dict[str, list[dict[str, Any]]]:
    """Return every event that is parked, oldest first, by service."""
    found: dict[str, list[dict[str, Any]]] = {}
    for service in services:
        database = Database(settings.database(service), pool_size=1)
        try:
            found[service] = await _all(database)
        finally:
            await database.close()
    return found


def lines(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return a line an event: where it is decided on, what it is, why it waits and for what."""
    return [_line(service, each) for service, waiting in found.items() for each in waiting]


async def _all(database: Database) -> list[dict[str, Any]]:
    everything: list[dict[str, Any]] = []
    async with database.snapshot() as tx:
        while page := await list_parked(tx, after=everything[-1]["parked_id"] if everything else 0, limit=_PAGE):
            everything += page
    return everything


def _line(service: str, each: Mapping[str, Any]) -> str:
    waits, late = each["waits_for"], "  OVERDUE" if each["overdue"] else ""
    why = f"waits for {waits['topic']} {waits['subject']}" if waits else each["error"] or ""
    event = f"{each['type']} {each['subject']} #{each['sequence']}"
    return (
        f"{each['since'][:19]}  {service}/{each['parked_id']:<6} {each['reason']:<12} {event}  {each['topic']}  "
        f"{each['attempts']} tries  {why}{late}".rstrip()
    )
