"""Credit's routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.credit import queries
from services.credit.api.blocks import router as blocks
from services.credit.api.cash_needs import router as cash_needs
from services.credit.api.covers import router as covers
from services.credit.api.explanations import router as explanations
from services.credit.api.pair_limits import router as pair_limits
from services.credit.api.prices import router as prices
from services.credit.api.products import router as products
from services.credit.api.what_if import router as what_if
from services.credit.domain.instructions import Instruction
from services.credit.operations.block_lines import LIFT_BLOCK, lift
from services.credit.operations.close_drawdowns import cancel_drawdown
from services.credit.operations.covers import COVER_STEP, take_cover_step
from services.credit.operations.decide_referrals import KIND, carry_out, propose_decision
from services.credit.operations.give_quotes import give_quote
from services.credit.operations.pair_limits import PAIR_LIMIT, set_pair_limit
from services.credit.schemas import DecisionIn, QuoteIn, ReasonIn
from shared.messaging.parked import DECISIONS
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.approvals import approvals_router
from shared.web.auth import BANK, Caller, access, own_party
from shared.web.callers import command_of
from shared.web.problems import Problem
from shared.web.serving import Db

router = APIRouter()
_Limit = Annotated[int, Query(ge=1, le=500)]
_Reader = Annotated[Caller, access(*BANK, "sme")]


def _whose(caller: Caller, enterprise_id: str | None) -> str | None:
    """Return whose things to show: a party sees its own only (R23)."""
    if caller.party is None:
        return _id(enterprise_id)
    if enterprise_id is not None:
        own_party(caller, enterprise_id)
    return caller.party


def _id(text: str | None) -> str | None:
    return None if text is None else parse_id(text)


@router.get("/lines")
async def list_lines(  # noqa: PLR0917 - FastAPI passes each by name
    database: Db,
    caller: _Reader,
    enterprise_id: str | None = None,
    programme_id: str | None = None,
    cursor: str | None = None,
    limit: _Limit = 100,
) -> dict[str, Any]:
    """List lines with what each can draw."""
    whose = _whose(caller, enterprise_id)
    return await queries.lines(
        database, enterprise_id=whose, programme_id=_id(programme_id), after=read_cursor(cursor), limit=limit
    )


@router.get("/lines/{line_id}")
async def read_line(line_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a line."""
    found = await queries.line(database, line_id=parse_id(line_id), whole=caller.party is None)
    own_party(caller, found["enterprise_id"])
    return found


@router.get("/programmes/{programme_id}")
async def read_programme(programme_id: str, database: Db, _: Annotated[Caller, access(*BANK)]) -> dict[str, Any]:
    """Read a programme's limit, pool and shortfall."""
    return await queries.programme(database, programme_id=parse_id(programme_id))


@router.get("/nodes")
async def list_nodes(
    programme_id: str,
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    cursor: str | None = None,
    limit: _Limit = 100,
) -> dict[str, Any]:
    """List a programme's limit nodes, root first."""
    return await queries.nodes(database, programme_id=parse_id(programme_id), after=read_cursor(cursor), limit=limit)


@router.get("/documents")
async def list_documents(
    database: Db, caller: _Reader, enterprise_id: str | None = None, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List a firm's documents as credit knows them."""
    whose = _whose(caller, enterprise_id)
    if whose is None:
        raise Problem(status=422, code="invalid_request", detail="Say whose documents: enterprise_id.")
    return await queries.documents(database, enterprise_id=whose, after=read_cursor(cursor), limit=limit)


@router.post("/quotes", status_code=201)
async def post_quote(body: QuoteIn, database: Db, caller: Annotated[Caller, access("sme")]) -> dict[str, Any]:
    """Price a drawdown; the price binds the bank until the quote expires."""
    return await give_quote(
        database,
        line_id=body.line_id,
        documents=[(document.kind, document.document_id) for document in body.documents],
        principal=body.principal.money(),
        caller=caller,
        asked=Instruction(body.product, body.tenor_days, plan=body.plan.asked() if body.plan else None),
    )


@router.get("/drawdowns")
async def list_drawdowns(  # noqa: PLR0917 - FastAPI passes each by name
    database: Db,
    caller: _Reader,
    line_id: str | None = None,
    enterprise_id: str | None = None,
    cursor: str | None = None,
    limit: _Limit = 100,
) -> dict[str, Any]:
    """List drawdowns."""
    whose = _whose(caller, enterprise_id)
    return await queries.drawdowns(
        database, enterprise_id=whose, line_id=_id(line_id), after=read_cursor(cursor), limit=limit
    )


@router.get("/drawdowns/{drawdown_id}")
async def read_drawdown(drawdown_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a drawdown."""
    found = await queries.drawdown(database, drawdown_id=parse_id(drawdown_id))
    own_party(caller, found["enterprise_id"])
    return found


@router.post("/drawdowns/{drawdown_id}/cancel")
async def post_cancel(  # noqa: PLR0917 - FastAPI passes each by name
    drawdown_id: str,
    body: ReasonIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("sme", "bank_maker")],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Cancel a drawdown: released if not approved, else settlement is asked to stop the payment."""
    drawdown_id = parse_id(drawdown_id)
    route = f"POST /drawdowns/{drawdown_id}/cancel"
    key = await command_of(request, caller, idempotency_key, route=route)
    answer = await cancel_drawdown(database, key=key, drawdown_id=drawdown_id, reason=body.reason, caller=caller)
    return Response(answer, media_type="application/json")


@router.get("/referrals")
async def list_referrals(
    database: Db, _: Annotated[Caller, access(*BANK)], cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List the drawdowns that wait for two persons."""
    return await queries.referrals(database, after=read_cursor(cursor), limit=limit)


@router.post("/drawdowns/{drawdown_id}/decision", status_code=201)
async def post_decision(
    drawdown_id: str, body: DecisionIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose what becomes of a referred drawdown."""
    proposal = await propose_decision(
        database,
        drawdown_id=parse_id(drawdown_id),
        decision=body.decision,
        reason=body.reason,
        actor=caller.subject,
    )
    return proposal.wire()


router.include_router(blocks)
router.include_router(cash_needs)
router.include_router(covers)
router.include_router(explanations)
router.include_router(pair_limits)
router.include_router(prices)
router.include_router(products)
router.include_router(what_if)
router.include_router(
    approvals_router(
        deciders=("bank_checker", "bank_maker"),
        approved={
            KIND: carry_out,
            COVER_STEP: take_cover_step,
            LIFT_BLOCK: lift,
            PAIR_LIMIT: set_pair_limit,
            **DECISIONS,
        },
    )
)
