"""Long-running jobs: a failed one restarts with backoff; readiness hears of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import structlog

Job = Callable[[], Awaitable[None]]
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_log = structlog.get_logger()


class Unrecoverable(Exception):
    """Restarting cannot help: an operator must look. The job stays down and the service unready."""


class Jobs:
    """The jobs of one worker and what is wrong with them."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.problems: dict[str, str] = {}

    async def supervise(self, jobs: Mapping[str, Job], *, stop: asyncio.Event) -> None:
        """Run all jobs until `stop` is set and each has ended; restart those that fail."""
        async with asyncio.TaskGroup() as group:
            for name, job in jobs.items():
                group.create_task(self._keep_running(name, job, stop), name=name)

    async def _keep_running(self, name: str, job: Job, stop: asyncio.Event) -> None:
        wait_s = _FIRST_WAIT_S
        while not stop.is_set():
            started = asyncio.get_running_loop().time()
            try:
                await job()
            except Unrecoverable as error:
                self.problems[name] = str(error)
                _log.exception("job stopped for good", job=name)
                await stop.wait()
            except Exception as error:  # noqa: BLE001 - whatever a job dies of, it is restarted and reported
                self.problems[name] = type(error).__name__
                _log.exception("job failed", job=name, again_in_s=wait_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait_s)
                ran_well = asyncio.get_running_loop().time() - started > _LONGEST_WAIT_S
                wait_s = _FIRST_WAIT_S if ran_well else min(wait_s * 2, _LONGEST_WAIT_S)
                self.problems.pop(name, None)
