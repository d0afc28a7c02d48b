"""Processes of their own that all begin at once: each gets its orders, says that it is ready, goes when it is told.

The module that such a process runs reads a line of JSON, writes `ready`, waits for one more line, and writes what came
of its orders as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


async def work_at_once(module: str, specs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Start a desk for each spec, let all go at once; return what came of each, desk by desk."""
    async with AsyncExitStack() as stack:
        desks = [await stack.enter_async_context(_desk(module, each)) for each in specs]
        for desk in desks:
            assert await _line(desk) == "ready"
        for desk in desks:
            assert desk.stdin is not None
            desk.stdin.write(b"go\n")
        return [json.loads(await _line(desk)) for desk in desks]


async def serve(
    prepare: Callable[[dict[str, Any]], Awaitable[Callable[[], Awaitable[Any]]]],
) -> None:
    """Be a desk: read the spec, prepare, wait for the word, work, tell."""
    going = await prepare(json.loads(sys.stdin.readline()))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    sys.stdout.write(json.dumps(await going()) + "\n")


@asynccontextmanager
async def _desk(module: str, spec: Mapping[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    desk = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        assert desk.stdin is not None
        desk.stdin.write(json.dumps(spec).encode() + b"\n")
        yield desk
        await desk.wait()
    finally:
        if desk.returncode is None:
            desk.kill()
            await desk.wait()


async def _line(desk: asyncio.subprocess.Process) -> str:
    assert desk.stdout is not None
    line = (await desk.stdout.readline()).decode().strip()
    assert line, "the desk ended without a word"
    return line
