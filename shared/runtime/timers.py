"""Timers: a tick every so often, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def run_every(
    seconds: float, tick: Callable[[], Awaitable[object]], *, stop: asyncio.Event, woken: asyncio.Event | None = None
) -> None:
    """Run the tick, wait, and again, at once when woken; its failure is its supervisor's to handle."""
    events = [stop] if woken is None else [stop, woken]
    while not stop.is_set():
        if woken is not None:
            woken.clear()
        await tick()
        waits = [asyncio.ensure_future(each.wait()) for each in events]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
