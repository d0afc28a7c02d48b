"""Group commit: concurrent commands of one kind coalesce into one transaction; no timers.

While a batch of one root commits, the next gathers. The batch runs in the batcher's own task: a client that goes away
removes only a command that is not gathered yet.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

from shared.runtime.metrics import CommandMetrics
from shared.runtime.tracing import Attributes, current_traceparent, together

T = TypeVar("T")
R = TypeVar("R")

_BAD_ITEM = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
_TRY_AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    ConnectionError,
    DBAPIError,
)


class QueueFull(Exception):
    """More commands wait for one root than the process takes; come back later."""

    code: ClassVar[str] = "busy"
    retry_after_s: ClassVar[int] = 1

    def __init__(self) -> None:
        """Say that nothing was done."""
        super().__init__("Too many commands are waiting; nothing was done, try again.")


@dataclass(slots=True)
class _Waiting(Generic[T, R]):
    item: T
    future: asyncio.Future[R]
    traceparent: str | None
    since: float


class GroupCommit(Generic[T, R]):
    """Batches per root: one in flight a root and process, at most `max_batch` items, a bounded queue."""

    def __init__(
        self,
        handler: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        service: str = "",
        command: str = "",
        max_batch: int = 256,
        max_queue: int = 4096,
    ) -> None:
        """Use a handler that commits a batch and answers each item, in order, with its result or its error."""
        self._service = service
        self._command = command
        self._metrics = CommandMetrics(service=service, command=command)
        self._handler = handler
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._queues: dict[str, deque[_Waiting[T, R]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def submit(self, item: T, *, root: str) -> R:
        """Put the item into the root's next batch; return its result or raise its own error; QueueFull when full."""
        (waiting,) = self._enqueue([item], root=root)
        return await waiting.future

    async def submit_together(self, items: Sequence[T], *, root: str) -> list[R | Exception]:
        """Put items one behind the other into the root's next batches; return each one's result or error, in order.

        QueueFull when they do not all fit: then none of them was taken.
        """
        waiting = self._enqueue(items, root=root)
        answers: list[R | Exception] = []
        try:
            for each in waiting:
                try:
                    answers.append(await each.future)
                except Exception as error:  # noqa: BLE001 - each item has its own answer, whatever it is
                    answers.append(error)
        finally:
            # Whoever waited went away: what is not gathered yet is not done any more.
            for each in waiting[len(answers) :]:
                if not each.future.cancel() and not each.future.cancelled():
                    each.future.exception()
        return answers

    def _enqueue(self, items: Sequence[T], *, root: str) -> list[_Waiting[T, R]]:
        queue = self._queues.setdefault(root, deque())
        if len(queue) + len(items) > self._max_queue:
            raise QueueFull
        loop, traceparent, now = asyncio.get_running_loop(), current_traceparent(), time.perf_counter()
        waiting: list[_Waiting[T, R]] = [_Waiting(item, loop.create_future(), traceparent, now) for item in items]
        queue.extend(waiting)
        if root not in self._tasks:
            self._tasks[root] = asyncio.create_task(self._drain(root, queue))
        return waiting

    async def aclose(self) -> None:
        """Wait until every gathered command is answered."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _drain(self, root: str, queue: deque[_Waiting[T, R]]) -> None:
        try:
            while queue:
                taken = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
                batch = [waiting for waiting in taken if not waiting.future.done()]
                if batch:
                    await self._run_together(batch)
        finally:
            del self._tasks[root]
            if not queue:
                self._queues.pop(root, None)

    async def _run_together(self, batch: list[_Waiting[T, R]]) -> None:
        """Run a batch for the traces of all its commands, and show how long each had to wait."""
        self._metrics.batch(len(batch))
        traceparents = [waiting.traceparent for waiting in batch]
        facts: Attributes = {"tributary.batch.commands": len(batch)}
        with together(self._command, traceparents, service=self._service, kind="internal", attributes=facts):
            await self._run(batch)
        now = time.perf_counter()
        for waiting in batch:
            self._metrics.took_s(now - waiting.since)

    async def _run(self, batch: list[_Waiting[T, R]], *, again: bool = True) -> None:
        try:
            results = await self._handler([waiting.item for waiting in batch])
        except _BAD_ITEM as error:
            await self._by_halves(batch, error)
        except _TRY_AGAIN as error:
            # Also when the connection broke during COMMIT: the idempotency keys make the rerun exact.
            if again:
                await self._run(batch, again=False)
            else:
                _answer_all(batch, error)
        except Exception as error:  # noqa: BLE001 - the error belongs to the waiting clients, the batcher lives on
            _answer_all(batch, error)
        else:
            for waiting, result in zip(batch, results, strict=True):
                _answer(waiting, result)

    async def _by_halves(self, batch: list[_Waiting[T, R]], error: Exception) -> None:
        if len(batch) == 1:
            _answer_all(batch, error)
            return
        middle = len(batch) // 2
        await self._run(batch[:middle])
        await self._run(batch[middle:])


def _answer(waiting: _Waiting[T, R], result: R | Exception) -> None:
    if waiting.future.done():
        return
    if isinstance(result, Exception):
        waiting.future.set_exception(result)
    else:
        waiting.future.set_result(result)


def _answer_all(batch: Sequence[_Waiting[T, R]], error: Exception) -> None:
    for waiting in batch:
        _answer(waiting, error)
