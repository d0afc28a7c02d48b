"""Credit's hot routes; they stand apart from FastAPI's machinery, which would halve them."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, ClassVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.credit.operations.hold_drawdowns import Draw, HoldDrawdowns
from services.credit.operations.hold_rows import ROUTE
from services.credit.schemas import DrawIn, DrawItemHeldOut, DrawItemIn, DrawItemRefusedOut, HeldOut
from shared.runtime.tracing import current_traceparent
from shared.storage.idempotency import Key
from shared.web.auth import Access, Caller
from shared.web.describing import declare
from shared.web.problems import ErrorStatuses, Problem, error_response, problem_line, problem_of

_MAY_DRAW = Access(("sme",))
_PATH = "/credit/v1/drawdowns"
_NDJSON = "application/x-ndjson"
MOST_ITEMS = 10_000
# As many as group commit puts into a transaction.
_GROUP = 256


class TooManyItems(ValueError):
    """A batch holds more items than one request may; none was looked at."""

    code: ClassVar[str] = "too_many_items"

    def __init__(self, *, items: int) -> None:
        """Keep how many they were, and how many may be."""
        self.items = items
        self.most = MOST_ITEMS
        super().__init__(f"A batch takes up to {MOST_ITEMS:,} items; nothing was done.")


Endpoint = Callable[[Request], Awaitable[ASGIApp]]


class HotRoute(Route):
    """A plain route that says who may call it, as every other route does; what it raises is not answered for it."""

    def __init__(self, path: str, endpoint: Endpoint, *, declared: Access) -> None:
        """Serve POST requests."""
        super().__init__(path, endpoint, methods=["POST"], include_in_schema=False)
        self.access = declared

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            await (await endpoint(Request(scope, receive)))(scope, receive, send)

        self.app = served


def _held(text: str) -> ASGIApp:
    """Answer 201 with JSON, without what a response may have besides."""
    body = text.encode()

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


async def hold_drawdown(request: Request) -> ASGIApp:
    """Hold every limit on the line's path over the documents; 201 held, or a problem that names what binds."""
    state = request.app.state
    try:
        caller: Caller = state.verifier.caller_of(request, roles=_MAY_DRAW.roles)
        body = await request.body()
        key = Key.of(client=caller.client_id, route=ROUTE, key=request.headers.get("idempotency-key"), body=body)
        draw = _draw(DrawIn.model_validate_json(body), key=key, party=caller.party, traceparent=current_traceparent())
        holds: HoldDrawdowns = state.holds
        answer = await holds.submit(draw)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is answered as a problem
        return error_response(_said(error), statuses=state.statuses)
    return _held(answer)


async def hold_drawdowns(request: Request) -> ASGIApp:
    """Hold many drawdowns: a line a drawdown in, a line an answer out, in the order in which they came.

    Each item is decided as a single drawdown is: it has its own idempotency key, shared with the single route, and its
    own answer, so an item that is refused or malformed hurts no neighbour. Blank lines are no items. Up to 10,000
    items; more are refused before any is looked at. An interrupted batch is sent again as it was: what was held is
    answered as before.
    """
    state = request.app.state
    try:
        caller: Caller = state.verifier.caller_of(request, roles=_MAY_DRAW.roles)
        items = _items_of(await request.body())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is answered as a problem
        return error_response(error, statuses=state.statuses)
    return StreamingResponse(_answers(state, caller, items), status_code=200, media_type=_NDJSON)


def _items_of(body: bytes) -> list[bytes]:
    items = [line for line in map(bytes.strip, body.split(b"\n")) if line]
    if not items:
        raise Problem(status=422, code="invalid_request", detail="Send one drawdown a line, at least one.")
    if len(items) > MOST_ITEMS:
        raise TooManyItems(items=len(items))
    return items


async def _answers(state: Any, caller: Caller, items: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Answer group by group; while one commits, the next is read and waits behind it."""
    ahead: deque[asyncio.Task[bytes]] = deque()
    try:
        for first in range(0, len(items), _GROUP):
            ahead.append(asyncio.create_task(_answer(state, caller, items[first : first + _GROUP])))
            if len(ahead) > 1:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()


async def _answer(state: Any, caller: Caller, items: Sequence[bytes]) -> bytes:
    """Return a group's answers, a line each."""
    traceparent = current_traceparent()
    read: list[Draw | Exception] = []
    for item in items:
        try:
            said = DrawItemIn.model_validate_json(item)
            key = Key.of(client=caller.client_id, route=ROUTE, key=said.idempotency_key, body=item)
            read.append(_draw(said, key=key, party=caller.party, traceparent=traceparent))
        except Exception as error:  # noqa: BLE001 - each item has its own answer, whatever it is
            read.append(_said(error))
    draws = [each for each in read if isinstance(each, Draw)]
    holds: HoldDrawdowns = state.holds
    try:
        decided = iter(await holds.submit_together(draws))
    except Exception as error:  # noqa: BLE001 - it is the answer to every item of the group
        decided = iter([error] * len(draws))
    answers = (next(decided) if isinstance(each, Draw) else each for each in read)
    return b"".join(_line(answer, state.statuses) for answer in answers)


def _line(answer: str | Exception, statuses: ErrorStatuses) -> bytes:
    if isinstance(answer, str):
        return f'{{"status":201,{answer[1:]}\n'.encode()
    return problem_line(problem_of(answer, statuses=statuses)) + b"\n"


def _draw(said: DrawIn, *, key: Key, party: str | None, traceparent: str | None) -> Draw:
    return Draw(
        key=key,
        party=party,
        line_id=said.line_id,
        documents=tuple([(document.kind, document.document_id) for document in said.documents]),
        principal=said.principal.money(),
        purpose=said.purpose,
        quote_id=said.quote_id,
        traceparent=traceparent,
        instruction=said.instruction(),
    )


HOT_ROUTES: Sequence[HotRoute] = (
    HotRoute(_PATH, hold_drawdown, declared=_MAY_DRAW),
    HotRoute(f"{_PATH}/batch", hold_drawdowns, declared=_MAY_DRAW),
)


def document_hot_routes(schema: dict[str, Any]) -> dict[str, Any]:
    """Add the hot routes to an OpenAPI document."""
    template = "#/components/schemas/{model}"
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for model in (DrawIn, HeldOut, DrawItemIn, DrawItemHeldOut, DrawItemRefusedOut):
        described = model.model_json_schema(ref_template=template)
        schemas.update(described.pop("$defs", {}))
        schemas[model.__name__] = described
    header = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}}
    single = {
        "summary": "Hold Drawdown",
        "description": hold_drawdown.__doc__,
        "operationId": "hold_drawdown",
        "parameters": [header],
        "requestBody": {"required": True, "content": _content("application/json", DrawIn)},
        "responses": {
            "201": {"description": "Held", "content": _content("application/json", HeldOut)},
            **{status: {} for status in ("400", "404", "409", "410", "422", "503")},
        },
    }
    batch = {
        "summary": "Hold Drawdowns",
        "description": inspect.getdoc(hold_drawdowns),
        "operationId": "hold_drawdowns",
        "requestBody": {"required": True, "content": _content(_NDJSON, DrawItemIn)},
        "responses": {
            "200": {
                "description": "An answer an item, in their order",
                "content": _content(_NDJSON, DrawItemHeldOut, DrawItemRefusedOut),
            },
            **{status: {} for status in ("413", "422")},
        },
    }
    for path, operation in ((_PATH, single), (f"{_PATH}/batch", batch)):
        declare(operation, roles=_MAY_DRAW.roles)
        schema["paths"].setdefault(path, {})["post"] = operation
    return schema


def _content(media_type: str, *models: type[BaseModel]) -> dict[str, Any]:
    """Return a body's description; of NDJSON it is one line's."""
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {media_type: {"schema": references[0] if len(references) == 1 else {"oneOf": references}}}


def _said(error: Exception) -> Exception:
    """Return an error as it is answered: one of pydantic's says which fields are not as described."""
    if not isinstance(error, ValidationError):
        return error
    fields = error.errors(include_url=False, include_input=False, include_context=False)
    if any(each["type"] == "json_invalid" for each in fields):
        return Problem(status=400, code="malformed_body", detail="The body is not JSON.")
    found = [{"field": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in fields]
    return Problem(
        status=422, code="invalid_request", detail="The request is not as the API describes it.", fields=found
    )
