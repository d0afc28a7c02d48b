"""A desk: a process of its own that does things to drawdowns, all of them at once, when it is told to go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
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
from tests.support.desks import serve, work_at_once

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


async def _prepare(spec: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
    database = Database(spec["url"], pool_size=4)
    holds = HoldDrawdowns(database, hold_seconds=spec["hold_seconds"])
    async with database.reader() as tx:
        await tx.pg.fetchval("SELECT 1")

    async def go() -> Any:
        done = await asyncio.gather(*(_do(database, holds, order) for order in spec["orders"]))
        await holds.aclose()
        await database.close()
        return done

    return go


async def work(url: str, orders: Sequence[Sequence[Mapping[str, Any]]], *, hold_seconds: int = 60) -> list[Any]:
    """Start a desk for each list of orders, let all go at once; return what came of each order, desk by desk."""
    return await work_at_once(__name__, [{"url": url, "orders": each, "hold_seconds": hold_seconds} for each in orders])


if __name__ == "__main__":
    asyncio.run(serve(_prepare))
