"""Routes of orders: registered by either side, confirmed by maker and checker of who stands behind them."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.receivables import queries
from services.receivables.domain.deliveries import Delivery
from services.receivables.domain.documents import Party, read_number
from services.receivables.domain.orders import Order
from services.receivables.domain.trade_lines import check_lines, read_line
from services.receivables.operations import confirm_orders
from services.receivables.operations.once import once
from services.receivables.operations.read_trade_documents import read_trade_document
from services.receivables.operations.take_deliveries import take_delivery
from services.receivables.operations.take_orders import TakenOrder, take_orders
from services.receivables.schemas import DeliveryIn, OrderConfirmationIn, OrderIn, ReasonIn, ReductionIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import answer_of, command_of, own_of, party_of
from shared.web.serving import Db

orders = APIRouter()
_Reader = Annotated[Caller, access(*BANK, *PARTIES)]
_Sender = Annotated[Caller, access("erp", "anchor_maker", "sme", "bank_maker")]


@orders.post("/orders", status_code=201)
async def register_order(body: OrderIn, database: Db, caller: _Sender) -> dict[str, Any]:
    """Register an order, by its seller or its buyer; said again in the same words, it is the same order."""
    order = Order(
        syntax="json",
        number=read_number(body.number),
        issue_date=body.issue_date,
        amount=body.amount.money(),
        seller=Party(enterprise_id=body.seller_id),
        buyer=Party(enterprise_id=body.buyer_id),
        side=body.side,
        delivery_date=body.delivery_date,
        due_date=body.due_date,
        lines=check_lines(tuple(read_line(each.model_dump(), currency=body.amount.currency) for each in body.lines)),
    )
    party = party_of(caller)
    (answer,) = await take_orders(database, orders=[order], party=party, actor=caller.subject)
    if not isinstance(answer, TakenOrder):
        raise answer
    return await queries.order(database, order_id=answer.order_id, party=party)


@orders.post("/trade-documents", status_code=201)
async def post_trade_document(request: Request, database: Db, caller: _Sender) -> dict[str, Any]:
    """Take in a UBL 2.1 Order, DespatchAdvice or ReceiptAdvice, and return its order as it then stands.

    The body is the file itself, as application/xml. It is kept as it came.
    """
    party, actor = party_of(caller), caller.subject
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    document, evidence = await read_trade_document(await request.body(), media_type=media_type)
    if isinstance(document, Order):
        (answer,) = await take_orders(database, orders=[document], party=party, actor=actor, evidence=[evidence])
        if not isinstance(answer, TakenOrder):
            raise answer
        return await queries.order(database, order_id=answer.order_id, party=party)
    taken = await take_delivery(database, delivery=document, party=party, actor=actor, evidence=evidence)
    return await queries.order(database, order_id=taken.order_id, party=party)


@orders.post("/deliveries", status_code=201)
async def record_delivery(body: DeliveryIn, database: Db, caller: _Sender) -> dict[str, Any]:
    """Record a despatch, by the seller, or a receipt, by the buyer; return the order with what was delivered of it."""
    delivery = Delivery(
        kind=body.kind,
        syntax="json",
        order_number=read_number(body.order_number),
        number=read_number(body.number),
        issue_date=body.issue_date,
        seller=Party(enterprise_id=body.seller_id),
        buyer=Party(enterprise_id=body.buyer_id),
        lines=check_lines(tuple(read_line(each.model_dump(), currency="") for each in body.lines)),
    )
    party = party_of(caller)
    taken = await take_delivery(database, delivery=delivery, party=party, actor=caller.subject)
    return await queries.order(database, order_id=taken.order_id, party=party)


@orders.get("/receivables/{receivable_id}/match")
async def read_match(receivable_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read how an invoice stands to its order and to what was delivered, line by line."""
    return await queries.order_match(database, receivable_id=parse_id(receivable_id), party=party_of(caller))


@orders.get("/orders")
async def list_orders(
    database: Db,
    caller: _Reader,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    state: Annotated[str, Query(pattern="^[a-z]{0,20}$")] = "",
) -> dict[str, Any]:
    """List orders; a party sees those it sells or buys by."""
    return await queries.orders(database, after=read_cursor(cursor), limit=limit, state=state, party=party_of(caller))


@orders.get("/orders/{order_id}")
async def read_order(order_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read an order with its lines and what was invoiced of it."""
    return await queries.order(database, order_id=parse_id(order_id), party=party_of(caller))


@orders.post("/order-confirmations", status_code=201)
async def propose_order_confirmation(
    body: OrderConfirmationIn, database: Db, caller: Annotated[Caller, access("anchor_maker")]
) -> dict[str, Any]:
    """Propose to confirm orders, by the maker of the buyer; of a sale, by the seller's."""
    proposal = await confirm_orders.propose_order_confirmation(
        database, order_ids=body.order_ids, party=own_of(caller), actor=caller.subject
    )
    return proposal.wire()


@orders.post("/orders/{order_id}/rejections")
async def reject_order(
    order_id: str, body: ReasonIn, database: Db, caller: Annotated[Caller, access("anchor_maker", "anchor_checker")]
) -> dict[str, Any]:
    """Reject an order that is not confirmed, by who would confirm it."""
    rejected, party = parse_id(order_id), own_of(caller)
    await confirm_orders.reject_order(
        database, order_id=rejected, reason=body.reason, party=party, actor=caller.subject
    )
    return await queries.order(database, order_id=rejected, party=party)


@orders.post("/orders/{order_id}/reductions", status_code=201)
async def reduce_order(  # noqa: PLR0917 - FastAPI passes each by name
    order_id: str,
    body: ReductionIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("anchor_maker", "erp")],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Order less than was confirmed: it lowers what can be lent on, never a loan."""
    reduced = parse_id(order_id)
    work = partial(
        confirm_orders.reduce_order,
        order_id=reduced,
        amount=body.amount,
        reason=body.reason,
        reference=body.reference,
        party=own_of(caller),
        actor=caller.subject,
    )
    route = f"POST /receivables/v1/orders/{reduced}/reductions"
    key = await command_of(request, caller, idempotency_key, route=route)
    answer = await once(database, key=key, status=201, work=work)
    return answer_of(answer)
