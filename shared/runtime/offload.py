"""CPU-heavy work runs in spawned processes: in a thread it would still freeze the loop.

What strangers sent runs confined: with a bound on memory and on time, in a process that ends when either is passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, ClassVar, Literal, ParamSpec, TypeVar

from shared.runtime.garbage import tune_gc

P = ParamSpec("P")
R = TypeVar("R")
_pool: ProcessPoolExecutor | None = None
_confined: Confined | None = None
_CONFINED_PROCESSES = 2


class OutOfBounds(RuntimeError):
    """Confined work that took more memory or time than it may; it was ended, nothing came of it."""

    code: ClassVar[str] = "out_of_bounds"

    def __init__(self, *, bound: Literal["memory", "time"]) -> None:
        """Keep which bound."""
        self.bound = bound
        super().__init__(f"The work took more {bound} than it may.")


async def offload(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a picklable function in the pool and return what it returns or raises."""
    global _pool  # noqa: PLW0603 - one pool a process, made when first needed
    if _pool is None:
        _pool = _spawned(memory_bytes=None)
    return await asyncio.get_running_loop().run_in_executor(_pool, partial(function, *args, **kwargs))


def confined() -> Confined:
    """Return this process' pool for what strangers sent."""
    global _confined  # noqa: PLW0603 - one pool a process, made when first needed
    if _confined is None:
        _confined = Confined(processes=_CONFINED_PROCESSES)
    return _confined


def close_offload() -> None:
    """End the pools."""
    global _pool, _confined  # noqa: PLW0603 - see above
    if _pool is not None:
        _pool.shutdown(wait=False, cancel_futures=True)
        _pool = None
    if _confined is not None:
        _confined.close()
        _confined = None


class Confined:
    """A few processes of one task each, started when first needed; a bound that is passed costs that process alone."""

    def __init__(self, *, processes: int, memory_bytes: int = 1024**3, seconds: float = 20.0) -> None:
        """Nothing is started yet. The memory is what a process may write to; the seconds are one task's."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._free: asyncio.LifoQueue[_Cell] = asyncio.LifoQueue()
        self._cells = [_Cell(memory_bytes) for _ in range(processes)]
        self._seconds = seconds

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a picklable function and return what it returns or raises; OutOfBounds when it passed a bound."""
        if self._loop is not asyncio.get_running_loop():
            # Last in, first out: one caller keeps to one warm process.
            self._loop, self._free = asyncio.get_running_loop(), asyncio.LifoQueue()
            for cell in reversed(self._cells):
                self._free.put_nowait(cell)
        free = self._free
        cell = await free.get()
        try:
            return await cell.run(partial(function, *args, **kwargs), seconds=self._seconds)
        finally:
            free.put_nowait(cell)

    def close(self) -> None:
        """End the processes, busy or not."""
        for cell in self._cells:
            cell.kill()


class _Cell:
    """One confined process."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._executor: ProcessPoolExecutor | None = None
        self._pid = 0

    async def run(self, work: Callable[[], R], *, seconds: float) -> R:
        """Death without a word is tried once more: the process may have been old, or killed by somebody else."""
        try:
            return await self._once(work, seconds=seconds)
        except BrokenProcessPool:
            self.kill()
        try:
            return await self._once(work, seconds=seconds)
        except BrokenProcessPool as error:
            self.kill()
            raise OutOfBounds(bound="memory") from error

    async def _once(self, work: Callable[[], R], *, seconds: float) -> R:
        loop = asyncio.get_running_loop()
        if self._executor is None:
            self._executor = _spawned(memory_bytes=self._memory_bytes)
            self._pid = await loop.run_in_executor(self._executor, os.getpid)
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._executor, work)
        except TimeoutError as error:
            self.kill()
            raise OutOfBounds(bound="time") from error
        except MemoryError as error:
            # What it holds is not known any more: a new process is cheaper than a doubtful one.
            self.kill()
            raise OutOfBounds(bound="memory") from error
        except asyncio.CancelledError:
            self.kill()
            raise

    def kill(self) -> None:
        if self._executor is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._pid:
                os.kill(self._pid, signal.SIGKILL)
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor, self._pid = None, 0


def _spawned(*, memory_bytes: int | None) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    started: Any = (os.getpid(), memory_bytes)
    return ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_begin, initargs=started)


def _begin(owner: int, memory_bytes: int | None) -> None:
    """Leave Ctrl-C to the owner, and end when it does, even by kill -9: nobody would ever send this process work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tune_gc()
    if memory_bytes is not None:
        # Data, not address space: Saxon reserves 32 GiB of addresses and writes to a hundredth of them.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="owner-watch").start()
