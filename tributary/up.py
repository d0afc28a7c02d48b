"""`tributary up`: the platform until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine

import uvloop

from shared.runtime.garbage import tune_gc
from shared.runtime.settings import Settings
from shared.runtime.telemetry import configure_logging
from tributary.platform import Platform, running_platform

Story = Callable[[Platform], Awaitable[None]]


def up(settings: Settings, *, story: Story | None = None, processes: bool = False) -> int:
    """Run the platform until told to stop; on a new data folder drive the story first, if there is one."""
    configure_logging()
    return run_until_signal(_up(settings, story=story, processes=processes))


def run_until_signal(main: Coroutine[None, None, int]) -> int:
    """Run a coroutine on uvloop; SIGINT and SIGTERM cancel it once, and it ends in its own order."""

    async def guarded() -> int:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, _once(task.cancel))
        try:
            return await task
        except asyncio.CancelledError:
            return 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(guarded())


async def _up(settings: Settings, *, story: Story | None, processes: bool) -> int:
    new = not (settings.home / "postgres" / "data").exists()
    async with running_platform(settings, processes=processes) as platform:
        if story is not None and new:
            await story(platform)
        _say(platform)
        tune_gc()
        await platform.watch()
    return 0


def _say(platform: Platform) -> None:
    lines = [
        f"pages      {platform.origin}/",
        f"API docs   {platform.origin}/docs",
        f"data       {platform.settings.home.absolute()}",
        f"sign in    {platform.settings.home.absolute() / 'administrator.json'}",
        "Ctrl-C stops everything.",
    ]
    sys.stderr.write("\n".join(lines) + "\n")


def _once(act: Callable[[], object]) -> Callable[[], None]:
    done = False

    def first() -> None:
        nonlocal done
        if not done:
            done = True
            act()

    return first
