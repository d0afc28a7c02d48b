"""Long-running jobs: a failed one restarts with backoff; readiness hears of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar

import structlog

from shared.runtime.metrics import forget_job, show_job

Job = Callable[[], Awaitable[None]]
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_WELL_AFTER_S = 3.0
_log = structlog.get_logger()
_supervising: set[Jobs] = set()
_current: ContextVar[tuple[Jobs, str] | None] = ContextVar("job", default=None)


class Unrecoverable(Exception):
    """Restarting cannot help: an operator must look. The job stays down and the service unready."""


class Hindered(Exception):
    """A job cannot go on until somebody mends what its text names; it is tried again all the time."""


class Jobs:
    """The jobs of one worker: what is down for good (`problems`), being restarted, or has not been up yet."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.problems: dict[str, str] = {}
        self.restarting: dict[str, str] = {}
        self.awaited: frozenset[str] = frozenset()
        self.starting: set[str] = set()

    async def supervise(self, jobs: Mapping[str, Job], *, stop: asyncio.Event, awaited: Collection[str] = ()) -> None:
        """Run all jobs until `stop` is set and each has ended; restart those that fail.

        The awaited ones are starting until they say `is_up`, once.
        """
        _supervising.add(self)
        self.awaited = frozenset(awaited)
        self.starting = set(awaited)
        try:
            async with asyncio.TaskGroup() as group:
                for name, job in jobs.items():
                    group.create_task(self._keep_running(name, job, stop), name=name)
        finally:
            _supervising.discard(self)

    async def _keep_running(self, name: str, job: Job, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        _current.set((self, name))
        self._show(name)
        wait_s = _FIRST_WAIT_S
        while not stop.is_set():
            started = loop.time()
            # A job counts as well again once it has run for a while, not when it is merely tried again.
            well = loop.call_later(_WELL_AFTER_S, self._recovered, name)
            try:
                await job()
            except Unrecoverable as error:
                self.problems[name] = str(error)
                _log.exception("job stopped for good", job=name)
                self._show(name)
                await stop.wait()
            except Exception as error:  # noqa: BLE001 - whatever a job dies of, it is restarted and reported
                ran_well = loop.time() - started > _LONGEST_WAIT_S
                wait_s = _FIRST_WAIT_S if ran_well else min(wait_s * 2, _LONGEST_WAIT_S)
                self._report(name, error, again_in_s=wait_s)
            finally:
                well.cancel()
            if not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await stop.wait()
        forget_job(*_parts(name))

    def _recovered(self, name: str) -> None:
        self.restarting.pop(name, None)
        self._show(name)

    def _show(self, name: str, *, restarted: bool = False) -> None:
        service, job = _parts(name)
        down, restarting = name in self.problems, name in self.restarting
        show_job(service, job, down=down, restarting=restarting, restarted=restarted)

    def _report(self, name: str, error: Exception, *, again_in_s: float) -> None:
        why = str(error) if isinstance(error, Hindered) else type(error).__name__
        if self.restarting.get(name) == why:
            # The same again: one line, not another traceback, for as long as it lasts.
            _log.warning("job failed again", job=name, error=why, again_in_s=again_in_s)
        elif isinstance(error, Hindered):
            _log.error("job hindered", job=name, error=why, again_in_s=again_in_s)
        else:
            _log.error("job failed", job=name, again_in_s=again_in_s, exc_info=error)
        self.restarting[name] = why
        self._show(name, restarted=True)


def is_up() -> None:
    """Say that the job that runs this does what it is for."""
    current = _current.get()
    if current is not None:
        jobs, name = current
        jobs.starting.discard(name)


def not_up_yet(service: str) -> str | None:
    """Return what a service's worker in this process still waits for before it can be called ready, or None."""
    mine = [jobs for jobs in _supervising if any(_is_of(service, name) for name in jobs.awaited)]
    if not mine:
        return "not started yet"
    names = sorted(_parts(name)[1] for jobs in mine for name in jobs.starting)
    return f"has not been up yet: {', '.join(names)}" if names else None


def down_for_good(service: str) -> dict[str, str]:
    """Return what is wrong with the jobs of a service in this process and will not mend by itself."""
    return {name: why for jobs in _supervising for name, why in jobs.problems.items() if _is_of(service, name)}


def being_restarted(service: str) -> dict[str, str]:
    """Return which jobs of a service in this process fail just now and are tried again, and what they die of."""
    return {name: why for jobs in _supervising for name, why in jobs.restarting.items() if _is_of(service, name)}


def _parts(name: str) -> tuple[str, str]:
    service, _, job = name.partition("/")
    return service, job


def _is_of(service: str, name: str) -> bool:
    return name.startswith(f"{service}/")
