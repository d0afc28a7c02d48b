"""A seeded event loop with a fake clock: which ready callback runs next is the seed's choice, time is never waited for.

Callbacks belong to processes (a context variable that tasks inherit): a killed process' callbacks never run again, a
stopped one's wait until it goes on. Nothing here opens a socket or starts a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import warnings
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from random import Random
from types import coroutine
from typing import Any

STEP_S = 2e-5
_MOST_STEPS = 20_000


class Killed(BaseException):
    """What a killed process meets when its coroutines are taken down after the run: nothing it does counts."""


class Stuck(AssertionError):
    """Nothing is ready and no timer runs, or there is no end."""


_process: ContextVar[Process] = ContextVar("_process")


class Process:
    """One operating-system process: alive, stopped (SIGSTOP) or dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.broken: Exception | None = None
        self.held: list[asyncio.Handle] = []
        self.at_kill: list[Callable[[], None]] = []
        self.context = copy_context()
        self.context.run(_process.set, self)

    def __repr__(self) -> str:
        return self.name


# The scheduler's own, the brokers' and the database servers': what no fault touches.
WORLD = Process("world")


def current() -> Process:
    """Return the process whose code runs now."""
    return _process.get(WORLD)


@coroutine
def one_step() -> Generator[None, None, None]:
    """Let any other ready callback run first."""
    yield


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one run."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - a schedule, not a secret
        self.steps = 0
        self.ended = False
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._alarm_at = -1
        self._alarm: Callable[[Process], None] = lambda _: None
        self._tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Whoever looks at nothing's result looks at nothing's error: the invariants decide."""
        error = context.get("exception")
        if isinstance(error, AssertionError):
            raise error

    def create_future(self) -> asyncio.Future[Any]:
        if self.ended:
            raise Killed
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override] # the stubs' overloads differ between the supported versions
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined] # a killed process leaves its tasks
        self._tasks.append(task)
        return task

    def spawn(self, process: Process, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a task of a process."""
        return self.create_task(coro, context=process.context.copy())

    def call_soon(  # type: ignore[override] # the stubs bind the arguments' types
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override] # as above
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override] # as above
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def in_world(self, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        """Call later whatever becomes of the process that asks for it: a packet is on its way."""
        self.call_at(self._now + delay, callback, *args, context=WORLD.context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run until the world's task is done; what it returned or raised is the run's."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            task = self.create_task(main, context=WORLD.context)
            self._until(task)
            return task.result()
        finally:
            self._take_down()
            events._set_running_loop(before)

    def _until(self, task: asyncio.Task[Any]) -> None:  # noqa: C901 - one loop in one place is half as fast in three
        ready, timers, choose = self._ready, self._timers, self.random.random
        while not task.done():
            if not ready:
                if not timers:
                    raise Stuck("nothing will ever happen again")
                self._now = max(self._now, timers[0][0])
            while timers and timers[0][0] <= self._now:
                timer = heapq.heappop(timers)[2]
                if not timer._cancelled:
                    ready.append(timer)
            if not ready:
                continue
            nth = int(choose() * len(ready))
            handle, ready[nth] = ready[nth], ready[-1]
            ready.pop()
            if handle._cancelled:
                continue
            process = handle._context.get(_process, WORLD)  # type: ignore[attr-defined] # what the stubs hide
            if not process.alive:
                continue
            if process.stopped:
                process.held.append(handle)
                continue
            self.steps += 1
            self._now += STEP_S
            if self.steps > _MOST_STEPS:
                raise Stuck(f"no end after {self.steps} steps")
            handle._run()
            if self.steps == self._alarm_at:
                self._alarm(process)

    async def process_in(self, steps: int, *, within_s: float) -> Process | None:
        """Wait for so many steps; return whoever took the last of them, and is in the midst of something."""
        came: asyncio.Future[Process] = self.create_future()
        self._alarm_at = self.steps + steps
        self._alarm = came.set_result
        await asyncio.wait({came}, timeout=within_s)
        self._alarm_at = -1
        return came.result() if came.done() else None

    def kill(self, process: Process) -> None:
        """kill -9: nothing of the process runs any more; the servers notice when they notice."""
        process.alive = False
        process.held.clear()
        for callback in process.at_kill:
            callback()

    def stop_process(self, process: Process) -> None:
        """SIGSTOP."""
        process.stopped = True

    def continue_process(self, process: Process) -> None:
        """SIGCONT."""
        process.stopped = False
        self._ready += process.held
        process.held.clear()

    def _take_down(self) -> None:
        """Close what is left, youngest first: the model refuses everything from now on, so nothing has effects."""
        self.ended = True
        with warnings.catch_warnings():
            # What a `finally` would still have awaited is not.
            warnings.simplefilter("ignore", RuntimeWarning)
            for task in reversed(self._tasks):
                if not task.done():
                    with contextlib.suppress(BaseException):
                        task.get_coro().close()
        self._ready.clear()
        self._timers.clear()
