"""Long-running jobs: a failed one restarts with backoff; readiness hears of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import structlog

Job = Callable[[], Awaitable[None]]
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_WELL_AFTER_S = 3.0
_log = structlog.get_logger()
_supervising: set[Jobs] = set()


class Unrecoverable(Exception):
    """Restarting cannot help: an operator must look. The job stays down and the service unready."""


class Jobs:
    """The jobs of one worker: what is down for good (`problems`) and what is being restarted (`restarting`)."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.problems: dict[str, str] = {}
        self.restarting: dict[str, str] = {}

    async def supervise(self, jobs: Mapping[str, Job], *, stop: asyncio.Event) -> None:
        """Run all jobs until `stop` is set and each has ended; restart those that fail."""
        _supervising.add(self)
        try:
            async with asyncio.TaskGroup() as group:
                for name, job in jobs.items():
                    group.create_task(self._keep_running(name, job, stop), name=name)
        finally:
            _supervising.discard(self)

    async def _keep_running(self, name: str, job: Job, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_WAIT_S
        while not stop.is_set():
            started = loop.time()
            # A job counts as well again once it has run for a while, not when it is merely tried again.
            well = loop.call_later(_WELL_AFTER_S, self.restarting.pop, name, None)
            try:
                await job()
            except Unrecoverable as error:
                self.problems[name] = str(error)
                _log.exception("job stopped for good", job=name)
                await stop.wait()
            except Exception as error:  # noqa: BLE001 - whatever a job dies of, it is restarted and reported
                ran_well = loop.time() - started > _LONGEST_WAIT_S
                wait_s = _FIRST_WAIT_S if ran_well else min(wait_s * 2, _LONGEST_WAIT_S)
                self._report(name, error, again_in_s=wait_s)
            finally:
                well.cancel()
            if not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait_s)

    def _report(self, name: str, error: Exception, *, again_in_s: float) -> None:
        kind = type(error).__name__
        if self.restarting.get(name) == kind:
            # The same again: one line, not another traceback, for as long as it lasts.
            _log.warning("job failed again", job=name, error=kind, again_in_s=again_in_s)
        else:
            _log.error("job failed", job=name, again_in_s=again_in_s, exc_info=error)
        self.restarting[name] = kind


def down_for_good(service: str) -> dict[str, str]:
    """Return what is wrong with the jobs of a service in this process and will not mend by itself."""
    return {name: why for jobs in _supervising for name, why in jobs.problems.items() if _is_of(service, name)}


def being_restarted(service: str) -> dict[str, str]:
    """Return which jobs of a service in this process fail just now and are tried again, and what they die of."""
    return {name: why for jobs in _supervising for name, why in jobs.restarting.items() if _is_of(service, name)}


def _is_of(service: str, name: str) -> bool:
    return name.startswith(f"{service}/")
