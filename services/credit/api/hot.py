"""Credit's hot routes; they stand apart from FastAPI's machinery, which would halve them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from services.credit.operations.hold_drawdowns import Draw, HoldDrawdowns
from services.credit.operations.hold_rows import ROUTE
from services.credit.schemas import DrawIn, HeldOut
from shared.runtime.tracing import current_traceparent
from shared.storage.idempotency import Key
from shared.web.auth import Access, Caller
from shared.web.describing import declare
from shared.web.problems import error_response, problem_response

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
