"""Credit's routes; the hot one stands apart from FastAPI's machinery, which would halve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from services.credit import queries
from services.credit.operations.close_drawdowns import cancel_drawdown
from services.credit.operations.decide_referrals import KIND, carry_out, propose_decision
from services.credit.operations.give_quotes import give_quote
from services.credit.operations.hold_drawdowns import Draw, HoldDrawdowns
from services.credit.operations.hold_rows import ROUTE
from services.credit.schemas import DecisionIn, DrawIn, HeldOut, QuoteIn, ReasonIn
from shared.messaging.parked import DECISIONS
from shared.runtime.tracing import current_traceparent
from shared.storage.idempotency import Key
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.approvals import approvals_router
from shared.web.auth import BANK, Access, Caller, access, own_party
from shared.web.describing import declare
from shared.web.problems import Problem, error_response, problem_response
from shared.web.serving import Db

router = APIRouter()
_Limit = Annotated[int, Query(ge=1, le=500)]
_Reader = Annotated[Caller, access(*BANK, "sme")]
_MAY_DRAW = Access(("sme",))
_PATH = "/credit/v1/drawdowns"


class HotRoute(Route):
    """A plain route that says who may call it, as every other route does."""

    def __init__(self, path: str, endpoint: Any, *, declared: Access) -> None:
        """Serve POST requests."""
        super().__init__(path, endpoint, methods=["POST"], include_in_schema=False)
        self.access = declared


async def hold_drawdown(request: Request) -> Response:
    """Hold every limit on the line's path over the documents; 201 held, or a problem that names what binds."""
    state = request.app.state
    try:
        caller: Caller = state.verifier.caller_of(request, roles=_MAY_DRAW.roles)
        body = await request.body()
        key = Key.of(client=caller.client_id, route=ROUTE, key=request.headers.get("idempotency-key"), body=body)
        said = DrawIn.model_validate_json(body)
        holds: HoldDrawdowns = state.holds
        answer = await holds.submit(
            Draw(
                key=key,
                party=caller.party,
                line_id=said.line_id,
                documents=tuple((document.kind, document.document_id) for document in said.documents),
                principal=said.principal.money(),
                purpose=said.purpose,
                quote_id=said.quote_id,
                traceparent=current_traceparent(),
            )
        )
    except ValidationError as error:
        return _invalid(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is answered as a problem
        return error_response(error, statuses=state.statuses)
    return Response(answer, status_code=201, media_type="application/json")


HOT_ROUTES: Sequence[HotRoute] = (HotRoute(_PATH, hold_drawdown, declared=_MAY_DRAW),)


def document_hot_routes(schema: dict[str, Any]) -> dict[str, Any]:
    """Add the hot route to an OpenAPI document."""
    template = "#/components/schemas/{model}"
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for model in (DrawIn, HeldOut):
        described = model.model_json_schema(ref_template=template)
        schemas.update(described.pop("$defs", {}))
        schemas[model.__name__] = described
    header = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}}
    operation = {
        "summary": "Hold Drawdown",
        "description": hold_drawdown.__doc__,
        "operationId": "hold_drawdown",
        "parameters": [header],
        "requestBody": {"required": True, "content": _json(DrawIn.__name__)},
        "responses": {
            "201": {"description": "Held", "content": _json(HeldOut.__name__)},
            **{status: {} for status in ("400", "404", "409", "410", "422", "503")},
        },
    }
    declare(operation, roles=_MAY_DRAW.roles)
    schema["paths"].setdefault(_PATH, {})["post"] = operation
    return schema


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _invalid(error: ValidationError) -> Response:
    fields = error.errors(include_url=False, include_input=False, include_context=False)
    if any(each["type"] == "json_invalid" for each in fields):
        return problem_response(status=400, code="malformed_body", detail="The body is not JSON.")
    found = [{"field": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in fields]
    detail = "The request is not as the API describes it."
    return problem_response(status=422, code="invalid_request", detail=detail, facts={"fields": found})


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
    found = await queries.line(database, line_id=parse_id(line_id))
    own_party(caller, found["enterprise_id"])
    return found


@router.get("/lines/{line_id}/explanation")
async def explain_line(line_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Explain a line's available amount; what others use of shared limits only the bank sees (R23)."""
    found = await queries.explanation(database, line_id=parse_id(line_id), whole=caller.party is None)
    own_party(caller, found["line"]["enterprise_id"])
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
    key = Key.of(client=caller.client_id, route=route, key=idempotency_key, body=await request.body())
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


router.include_router(
    approvals_router(deciders=("bank_checker", "bank_maker"), approved={KIND: carry_out, **DECISIONS})
)
