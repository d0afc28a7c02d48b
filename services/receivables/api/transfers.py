"""Routes of slices of vouchers: offered, accepted, declined, one by one or many at once; paid to their holders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.receivables import queries
from services.receivables.operations.once import once
from services.receivables.operations.pay_slice import pay_slice
from services.receivables.operations.transfer import Command, Offer, Reply, Transfers
from services.receivables.schemas import OffersIn, RepliesIn, SlicePaymentIn, TransferIn
from shared.storage.idempotency import Answer, Key
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import answer_of, command_of, own_of, party_of
from shared.web.problems import problem_line, problem_of
from shared.web.serving import Db

transfers = APIRouter()
_Key = Annotated[str | None, Header()]
_Limit = Annotated[int, Query(ge=1, le=500)]
_Holder = Annotated[Caller, access("sme")]


@transfers.post("/vouchers/{root_id}/transfers", status_code=201)
async def offer_transfer(
    root_id: str, body: TransferIn, request: Request, caller: _Holder, idempotency_key: _Key = None
) -> Response:
    """Offer a part of a slice to another firm, by its holder."""
    root = parse_id(root_id)
    key = await command_of(request, caller, idempotency_key, route=_offering(root))
    return answer_of(await _transfers(request).submit(_offer(body, root_id=root, key=key, caller=caller)))


@transfers.post("/vouchers/{root_id}/transfers/{transfer_id}/{answer}")
async def answer_transfer(  # noqa: PLR0917 - FastAPI passes each by name
    root_id: str,
    transfer_id: str,
    answer: Literal["accept", "decline"],
    request: Request,
    caller: _Holder,
    idempotency_key: _Key = None,
) -> Response:
    """Accept an offered part, by the transferee; or decline it, by either side."""
    root, offered = parse_id(root_id), parse_id(transfer_id)
    route = _replying(root, offered, answer)
    key = await command_of(request, caller, idempotency_key, route=route)
    return answer_of(
        await _transfers(request).submit(Reply(key, own_of(caller), caller.subject, root, offered, answer))
    )


@transfers.post("/vouchers/{root_id}/slices/{slice_id}/payments", status_code=201)
async def post_slice_payment(  # noqa: PLR0917 - FastAPI passes each by name
    root_id: str,
    slice_id: str,
    body: SlicePaymentIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("sme", "erp", "bank_maker")],
    idempotency_key: _Key = None,
) -> Response:
    """Say that the obligor paid a slice to its holder, by the holder or the bank; a financed one ends with its loan."""
    root, paid = parse_id(root_id), parse_id(slice_id)
    work = partial(
        pay_slice,
        root_id=root,
        slice_id=paid,
        paid_date=body.paid_date,
        reference=body.reference,
        party=party_of(caller),
        actor=caller.subject,
    )
    route = f"POST /receivables/v1/vouchers/{root}/slices/{paid}/payments"
    key = await command_of(request, caller, idempotency_key, route=route)
    return answer_of(await once(database, key=key, status=201, work=work))


@transfers.post("/transfers/batch")
async def offer_transfers(body: OffersIn, request: Request, caller: _Holder) -> Response:
    """Offer many parts of slices at once, each decided and answered on its own, in order.

    Each item has its own idempotency key, in the name space of the single route; an item that is refused hurts no
    neighbour. An interrupted batch is sent again as it was: what was done is answered as before.
    """
    commands: list[Command] = []
    for each in body.items:
        said = each.model_dump_json(exclude={"idempotency_key"}).encode()
        key = Key.of(client=caller.client_id, route=_offering(each.root_id), key=each.idempotency_key, body=said)
        commands.append(_offer(each, root_id=each.root_id, key=key, caller=caller))
    return await _together(request, commands)


@transfers.post("/transfers/replies/batch")
async def answer_transfers(body: RepliesIn, request: Request, caller: _Holder) -> Response:
    """Accept or decline many offered parts at once, each answered on its own, in order, like a batch of offers."""
    commands: list[Command] = []
    for each in body.items:
        route = _replying(each.root_id, each.transfer_id, each.answer)
        key = Key.of(client=caller.client_id, route=route, key=each.idempotency_key, body=b"")
        commands.append(Reply(key, own_of(caller), caller.subject, each.root_id, each.transfer_id, each.answer))
    return await _together(request, commands)


@transfers.get("/transfers")
async def list_transfers(
    database: Db,
    caller: Annotated[Caller, access(*BANK, *PARTIES)],
    cursor: str | None = None,
    limit: _Limit = 100,
) -> dict[str, Any]:
    """List transfers of slices; a party sees those it offered or was offered."""
    return await queries.transfers(database, after=read_cursor(cursor), limit=limit, party=party_of(caller))


def _offer(said: TransferIn, *, root_id: str, key: Key, caller: Caller) -> Offer:
    return Offer(
        key=key,
        party=own_of(caller),
        actor=caller.subject,
        root_id=root_id,
        slice_id=said.slice_id,
        amount=said.amount.money(),
        transferee_id=said.transferee_id,
        trade_reference=said.trade_reference,
    )


def _offering(root_id: str) -> str:
    return f"POST /receivables/v1/vouchers/{root_id}/transfers"


def _replying(root_id: str, transfer_id: str, answer: str) -> str:
    return f"{_offering(root_id)}/{transfer_id}/{answer}"


def _transfers(request: Request) -> Transfers:
    found: Transfers = request.app.state.transfers
    return found


async def _together(request: Request, commands: Sequence[Command]) -> Response:
    answers = await _transfers(request).submit_together(commands)
    items = []
    for answer in answers:
        if isinstance(answer, Answer):
            items.append({"status": answer.status, **json.loads(answer.body)})
        else:
            items.append(json.loads(problem_line(problem_of(answer, statuses=request.app.state.statuses))))
    return Response(json.dumps({"items": items}, ensure_ascii=False), media_type="application/json")
