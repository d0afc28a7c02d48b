"""`tributary demo`: the story on a data folder of its own, and what it showed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tributary.demo.drive import drive
from tributary.demo.figures import event_figures, invariant_figures
from tributary.demo.folder import folder_plan
from tributary.demo.plan import Plan
from tributary.demo.report import Result, as_json, show, show_steps
from tributary.demo.sample import sample_plan
from tributary.demo.stage import Step

if TYPE_CHECKING:
    from shared.runtime.settings import Settings
    from tributary.platform import Platform

# A silent rail is waited for; half a second shows the same as two.
_RAIL_TIMEOUT_S = 0.5
_WIDTH = 180
_HOME = "TRIBUTARY_HOME"


def run(*, json_output: bool, invoices: Path | None, processes: bool) -> int:
    """Drive the story and print what it showed; return the exit status."""
    from shared.runtime.telemetry import configure_logging
    from tributary.up import run_until_signal

    configure_logging(level="ERROR")
    finished: list[int] = []

    async def to_the_end() -> int:
        finished.append(await _run(json_output=json_output, invoices=invoices, processes=processes))
        return finished[0]

    run_until_signal(to_the_end())
    if not finished:
        sys.stderr.write("Interrupted: the story was not told to its end.\n")
    return finished[0] if finished else 1


async def tell(platform: Platform) -> None:
    """Play the story on a platform that has just started, for `tributary up --with-demo`."""
    result = await drive(platform.origin, home=platform.settings.home, plan=sample_plan(today=_today()), told=_say_step)
    from rich.console import Console

    show_steps(result, Console(stderr=True, width=_WIDTH))
    for sentence in result.failures:
        sys.stderr.write(f"{sentence}\n")


async def play(settings: Settings, *, plan: Plan, processes: bool = False, durable: bool = False) -> Result:
    """Run a platform with these settings, play the story on it, and measure what it left.

    A data folder that lasts no longer than the run needs nothing flushed to disk.
    """
    from tributary.platform import running_platform

    async with running_platform(settings, durable=durable, processes=processes) as platform:
        result = await drive(platform.origin, home=platform.settings.home, plan=plan, told=_say_step)
        result.processes = platform.processes
        await _measure(result, platform.settings)
    return result


async def _measure(result: Result, settings: Settings) -> None:
    result.events = await event_figures(settings)
    result.invariants = await invariant_figures(settings)


async def _run(*, json_output: bool, invoices: Path | None, processes: bool) -> int:
    plan = folder_plan(invoices, today=_today()) if invoices else sample_plan(today=_today())
    async with _settings() as settings:
        result = await play(settings, plan=plan, processes=processes, durable=_HOME in os.environ)
    if json_output:
        from tributary.cli import write_json

        write_json(as_json(result))
    else:
        from rich.console import Console

        console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
        show(result, console)
    failures = result.failures
    if failures:
        sys.stderr.write(f"{'; '.join(failures)}\n")
    return 1 if failures else 0


@asynccontextmanager
async def _settings() -> AsyncIterator[Settings]:
    """Yield settings on a data folder that is removed afterwards, unless the environment names one."""
    from shared.runtime.settings import Settings

    given = Settings()
    port = given.port if "TRIBUTARY_PORT" in os.environ else 0
    changes = {"port": port, "rail_timeout_seconds": min(given.rail_timeout_seconds, _RAIL_TIMEOUT_S)}
    if _HOME in os.environ:
        yield given.model_copy(update=changes)
        return
    home = Path(tempfile.mkdtemp(prefix="tributary-demo-"))
    try:
        yield given.model_copy(update={**changes, "home": home})
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _today() -> date:
    return datetime.now(UTC).date()


def _say_step(step: Step) -> None:
    sys.stderr.write(f"{'ok' if step.ok else 'FAILED':6} {step.ms:>6} ms  {step.name}\n")
    if step.error:
        sys.stderr.write(f"       {step.error}\n")
