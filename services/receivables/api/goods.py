"""Routes of goods as security: receipts, what they are worth, their pledge by two persons, what devices say of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from services.receivables.domain.goods import Receipt, read_quantity
from services.receivables.domain.readings import Row, read_csv, read_json, read_lines, read_place
from services.receivables.operations import pledge_goods, take_goods
from services.receivables.operations.read_upload import CSV, UnsupportedMediaType
from services.receivables.operations.take_readings import take_readings
from services.receivables.queries import goods as reading
from services.receivables.schemas import GoodsIn, PledgeIn, ReasonIn, ValuationIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.values.money import minor_digits
from shared.web.auth import BANK, Caller, access
from shared.web.callers import party_of
from shared.web.serving import Db

goods = APIRouter()
_Reader = Annotated[Caller, access(*BANK, "sme", "erp")]
_Holder = Annotated[Caller, access("bank_maker", "sme", "erp")]
_Maker = Annotated[Caller, access("bank_maker")]
_Limit = Annotated[int, Query(ge=1, le=500)]
_READ: dict[str, Callable[[bytes], Iterator[Row]]] = {
    "application/json": read_json,
    "application/x-ndjson": read_lines,
    **dict.fromkeys(CSV, read_csv),
}


@goods.post("/goods", status_code=201)
async def register_goods(body: GoodsIn, database: Db, caller: _Holder) -> dict[str, Any]:
    """Register goods in a warehouse by their receipt, as their holder or the bank; said again, they are the same.

    A warehouse's number stands once: it is financed once, whoever holds the receipt (R8).
    """
    minor_digits(body.currency)
    receipt = Receipt(
        owner_id=body.owner_id,
        number=body.receipt_number,
        warehouse=body.warehouse,
        country=body.country,
        city=body.city,
        **read_place(body.latitude, body.longitude),
        item=body.item,
        goods_class=body.goods_class,
        quantity_milli=read_quantity(body.quantity),
        unit=body.unit,
        currency=body.currency,
        condition=body.condition,
        issue_date=body.issue_date,
        due_date=body.due_date,
    )
    party = party_of(caller)
    goods_id = await take_goods.register_goods(database, receipt=receipt, party=party, actor=caller.subject)
    return await reading.lot(database, goods_id=goods_id, party=party)


@goods.get("/goods")
async def list_goods(
    database: Db,
    caller: _Reader,
    cursor: str | None = None,
    limit: _Limit = 100,
    state: Annotated[str, Query(pattern="^[a-z]{0,20}$")] = "",
) -> dict[str, Any]:
    """List goods; a firm sees its own."""
    return await reading.lots(database, after=read_cursor(cursor), limit=limit, state=state, party=party_of(caller))


@goods.get("/goods/{goods_id}")
async def read_goods(goods_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read goods: what they are worth today and why, how they were valued, what is pledged and released of them."""
    return await reading.lot(database, goods_id=parse_id(goods_id), party=party_of(caller))


@goods.get("/goods/{goods_id}/readings")
async def list_readings(
    goods_id: str, database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List what devices said of goods, the newest first."""
    return await reading.readings(
        database, goods_id=parse_id(goods_id), before=read_cursor(cursor), limit=limit, party=party_of(caller)
    )


@goods.post("/goods/{goods_id}/valuations", status_code=201)
async def value_goods(
    goods_id: str, body: ValuationIn, database: Db, caller: Annotated[Caller, access("risk_officer")]
) -> dict[str, Any]:
    """Say what a unit of goods was worth on a day; of what falls below what was lent, credit hears at once."""
    valued = parse_id(goods_id)
    await take_goods.value_goods(
        database,
        goods_id=valued,
        unit_value=body.unit_value.money(),
        valued_date=body.valued_date,
        source=body.source,
        condition=body.condition,
        actor=caller.subject,
    )
    return await reading.lot(database, goods_id=valued, party=None)


@goods.post("/goods/{goods_id}/pledges", status_code=201)
async def propose_pledge(goods_id: str, body: PledgeIn, database: Db, caller: _Maker) -> dict[str, Any]:
    """Propose to take goods as security; a second person approves, then the movables registry has its say."""
    proposal = await pledge_goods.propose_pledge(
        database,
        goods_id=parse_id(goods_id),
        devices=body.devices,
        bounds=body.bounds.model_dump(exclude_none=True),
        actor=caller.subject,
    )
    return proposal.wire()


@goods.post("/goods/{goods_id}/releases", status_code=201)
async def propose_release(goods_id: str, body: ReasonIn, database: Db, caller: _Maker) -> dict[str, Any]:
    """Propose to give a pledge back that no loan stands on; a second person approves."""
    proposal = await pledge_goods.propose_release(
        database, goods_id=parse_id(goods_id), reason=body.reason, actor=caller.subject
    )
    return proposal.wire()


@goods.post("/goods/{goods_id}/rejections")
async def reject_goods(goods_id: str, body: ReasonIn, database: Db, caller: _Holder) -> dict[str, Any]:
    """Take a receipt back that nobody has pledged, as its holder or the bank."""
    rejected, party = parse_id(goods_id), party_of(caller)
    await take_goods.reject_goods(database, goods_id=rejected, reason=body.reason, party=party, actor=caller.subject)
    return await reading.lot(database, goods_id=rejected, party=party)


@goods.post("/goods-readings")
async def post_readings(
    request: Request, database: Db, caller: Annotated[Caller, access("bank_maker", "erp")]
) -> dict[str, Any]:
    """Take in what devices measured: JSON (`{"readings": […]}`), NDJSON or a CSV file, each reading once.

    A reading says device, instant and any of temperature, humidity, latitude and longitude, quantity. The answer
    counts what is new and what was known, and names each refused one by its row, from 1 on.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    read = _READ.get(media_type)
    if read is None:
        raise UnsupportedMediaType(media_type=media_type, supported=_READ)
    data = await request.body()
    rows = await asyncio.to_thread(lambda: list(read(data)))
    return await take_readings(database, rows=rows, party=party_of(caller), actor=caller.subject)
