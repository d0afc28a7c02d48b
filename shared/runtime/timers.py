"""Timers: a tick every so often, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


async def run_every(seconds: float, tick: Callable[[], Awaitable[object]], *, stop: asyncio.Event) -> None:
    """Run the tick, wait, and again; its failure is its supervisor's to handle."""
    while not stop.is_set():
        await tick()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
