"""A desk: a process of its own that does things to drawdowns, all of them at once, when it is told to go.

It reads its orders from stdin, says that it is ready, waits for one more line, and writes what came of each order.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from services.credit.consumers import HANDLERS
from services.credit.domain.blocks import Cause, Target
from services.credit.operations.block_lines import block
from services.credit.operations.close_drawdowns import cancel_drawdown, expire_drawdowns
from services.credit.operations.covers import COVER_STEP, take_cover_step
from services.credit.operations.hold_drawdowns import Draw, HoldDrawdowns
from services.credit.operations.hold_rows import ROUTE
from services.credit.operations.pair_limits import PAIR_LIMIT, set_pair_limit
from shared.events.envelope import Received
from shared.events.receivables import Document, DocumentsAssigned
from shared.storage.approvals import approve_proposal
from shared.storage.database import Database
from shared.storage.idempotency import Key
from shared.values.ids import new_id
from shared.values.money import Amount, Money
from shared.web.auth import Caller

_ROOT = Path(__file__).resolve().parents[3]
_BANK = Caller("maker", frozenset({"bank_maker"}), None, "desk")
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def _hold(holds: HoldDrawdowns, order: Mapping[str, Any]) -> str:
    body = json.dumps(order).encode()
    answer = await holds.submit(
        Draw(
            key=Key.of(client="erp", route=ROUTE, key=order["key"], body=body),
            party=order["party"],
            line_id=order["line"],
            documents=(("receivable", order["document"]),),
            principal=Money(order["principal"], "CNY"),
            purpose="wages",
        )
    )
    return str(json.loads(answer)["drawdown_id"])


async def _approve(database: Database, drawdown_id: str) -> str:
    event = DocumentsAssigned(
        drawdown_id=drawdown_id,
        documents=[Document(kind="receivable", document_id="d", amount=Amount(amount="1.00", currency="CNY"))],
        registry_reference="R",
        registered_at=datetime.now(UTC),
        notified_at=datetime.now(UTC),
        notice_digest="0",
    )
    said = Received(new_id(), event.type, event.topic, event.subject, 1, datetime.now(UTC), "test", None, event)
    async with database.transaction() as tx:
        await HANDLERS[DocumentsAssigned](tx, [said])
    return "said"


async def _cancel(database: Database, drawdown_id: str) -> str:
    key = Key.of(client="desk", route="cancel", key=new_id(), body=b"")
    answer = await cancel_drawdown(database, key=key, drawdown_id=drawdown_id, reason="not needed", caller=_BANK)
    return str(json.loads(answer)["state"])


async def _decide(database: Database, approval_id: str) -> str:
    effects = {PAIR_LIMIT: set_pair_limit, COVER_STEP: take_cover_step}
    done = await approve_proposal(database, approval_id=approval_id, actor="checker", party=None, effects=effects)
    return done.state


async def _block(database: Database, order: Mapping[str, Any]) -> str:
    cause = Cause(reason="court_order", by="desk", note="race", reference=order.get("reference", ""))
    (block_id,) = await block(database, targets=[Target(order["scope"], order["subject"])], cause=cause)
    return block_id


async def _do(database: Database, holds: HoldDrawdowns, order: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of an order: `done`, or the code of what refused it; a deadlock is an error, never expected."""
    try:
        match order["do"]:
            case "hold":
                done = await _hold(holds, order)
            case "cancel":
                done = await _cancel(database, order["drawdown"])
            case "approve":
                done = await _approve(database, order["drawdown"])
            case "block":
                done = await _block(database, order)
            case "decide":
                done = await _decide(database, order["approval"])
            case _:
                done = str(await expire_drawdowns(database))
    except _AGAIN as error:
        return {**order, "code": type(error).__name__}
    except Exception as error:  # noqa: BLE001 - whatever refused it is what came of it
        return {**order, "code": getattr(error, "code", repr(error))}
    return {**order, "done": done}


async def main() -> None:
    """Read, wait, do, tell."""
    spec = json.loads(sys.stdin.readline())
    database = Database(spec["url"], pool_size=4)
    holds = HoldDrawdowns(database, hold_seconds=spec["hold_seconds"])
    async with database.reader() as tx:
        await tx.pg.fetchval("SELECT 1")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    done = await asyncio.gather(*(_do(database, holds, order) for order in spec["orders"]))
    await holds.aclose()
    await database.close()
    sys.stdout.write(json.dumps(done) + "\n")


async def work(url: str, orders: Sequence[Sequence[Mapping[str, Any]]], *, hold_seconds: int = 60) -> list[Any]:
    """Start a desk for each list of orders, let all go at once; return what came of each order, desk by desk."""
    async with AsyncExitStack() as stack:
        desks = [await stack.enter_async_context(_desk(url, each, hold_seconds)) for each in orders]
        for desk in desks:
            assert await _line(desk) == "ready"
        for desk in desks:
            assert desk.stdin is not None
            desk.stdin.write(b"go\n")
        return [json.loads(await _line(desk)) for desk in desks]


@asynccontextmanager
async def _desk(
    url: str, orders: Sequence[Mapping[str, Any]], hold_seconds: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    desk = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.credit.desk"),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        assert desk.stdin is not None
        spec = {"url": url, "orders": orders, "hold_seconds": hold_seconds}
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


if __name__ == "__main__":
    asyncio.run(main())
