"""CPU-heavy work runs in one spawned process pool: in a thread it would still freeze the loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_pool: ProcessPoolExecutor | None = None


async def offload(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a picklable function in the pool and return what it returns or raises."""
    global _pool  # noqa: PLW0603 - one pool a process, made when first needed
    if _pool is None:
        context = multiprocessing.get_context("spawn")
        _pool = ProcessPoolExecutor(
            max_workers=1, mp_context=context, initializer=_belong_to_the_owner, initargs=(os.getpid(),)
        )
    return await asyncio.get_running_loop().run_in_executor(_pool, partial(function, *args, **kwargs))


def close_offload() -> None:
    """End the pool."""
    global _pool  # noqa: PLW0603 - see above
    if _pool is not None:
        _pool.shutdown(wait=False, cancel_futures=True)
        _pool = None


def _belong_to_the_owner(owner: int) -> None:
    """Leave Ctrl-C to the owner, and end when it does, even by kill -9: nobody would ever send this process work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="owner-watch").start()
