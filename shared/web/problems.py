"""Errors on the wire: RFC 9457 problem documents with a stable code, a trace id, never an exception's inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.runtime.tracing import trace_id
from shared.storage.approvals import AlreadyDecided, OwnProposal, UnknownApproval
from shared.storage.group_commit import QueueFull
from shared.storage.idempotency import IdempotencyConflict, MissingIdempotencyKey
from shared.storage.paging import InvalidCursor
from shared.values.calendars import InvalidZone
from shared.values.ids import InvalidId, InvalidLegalIdentifier
from shared.values.money import CurrencyMismatch, InvalidAmount, Money, UnknownCurrency
from shared.values.policies import NoPolicy
from shared.values.rates import InvalidRate

ErrorStatuses = Mapping[type[Exception], int]

SHARED_ERRORS: ErrorStatuses = {
    InvalidAmount: 422,
    UnknownCurrency: 422,
    CurrencyMismatch: 422,
    InvalidRate: 422,
    InvalidZone: 422,
    InvalidId: 422,
    InvalidLegalIdentifier: 422,
    NoPolicy: 422,
    InvalidCursor: 422,
    UnknownApproval: 404,
    OwnProposal: 403,
    AlreadyDecided: 409,
    IdempotencyConflict: 409,
    MissingIdempotencyKey: 400,
    QueueFull: 503,
}
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    ConnectionError,
    DBAPIError,
    PoolTimeoutError,
)
_STATEMENT_ERRORS = (IntegrityError, ProgrammingError, DataError)
_HTTP_CODES = {
    400: "malformed_body",
    401: "missing_token",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
_log = structlog.get_logger()


class Problem(Exception):
    """An error that only the web edge knows (a missing token, a missing page): its status, code and facts."""

    def __init__(self, *, status: int, code: str, detail: str, **facts: Any) -> None:
        """Keep what the document will say."""
        self.status = status
        self.code = code
        self.detail = detail
        self.facts = facts
        super().__init__(detail)


def problem_body(*, status: int, code: str, detail: str, facts: Mapping[str, Any] | None = None) -> bytes:
    """Return the document; facts come first so that none can shadow its own members."""
    document = {
        **(facts or {}),
        "type": f"/problems/{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        "code": code,
        "trace_id": trace_id(),
    }
    # A lone surrogate that a refusal quotes has no UTF-8; written as the escape it came as, it is JSON all the same.
    return json.dumps(document, ensure_ascii=False, default=_plain).encode(errors="backslashreplace")


def problem_response(*, status: int, code: str, detail: str, facts: Mapping[str, Any] | None = None) -> Response:
    """Return the response that carries a problem document."""
    headers = {"retry-after": "1"} if status == 503 else {}  # noqa: PLR2004 - HTTP's own number
    if status == 401:  # noqa: PLR2004 - HTTP's own number
        headers["www-authenticate"] = "Bearer"
    body = problem_body(status=status, code=code, detail=detail, facts=facts)
    return Response(body, status_code=status, media_type="application/problem+json", headers=headers)


def problem_of(error: Exception, *, statuses: ErrorStatuses) -> Problem:
    """Return what an error is to a client: a domain error by its class' status, anything else internal_error."""
    if isinstance(error, Problem):
        return error
    for kind in type(error).__mro__:
        status = statuses.get(kind) or SHARED_ERRORS.get(kind)
        if status is not None:
            found = Problem(status=status, code=str(getattr(error, "code", "refused")), detail=str(error))
            found.facts = {name: value for name, value in vars(error).items() if not name.startswith("_")}
            return found
    if isinstance(error, _AWAY) and not isinstance(error, _STATEMENT_ERRORS):
        _log.error("the database is away", error=type(error).__name__)
        detail = "The database does not answer just now; nothing was done, or ask again with the same idempotency key."
        return Problem(status=503, code="unavailable", detail=detail)
    _log.error("request failed", exc_info=error)
    return Problem(status=500, code="internal_error", detail="Something failed here; it is logged.")


def problem_line(problem: Problem) -> bytes:
    """Return a problem as one item's answer in a batch: status, code, detail and facts on one line."""
    said = {"status": problem.status, "code": problem.code, "detail": problem.detail, "facts": problem.facts}
    return json.dumps(said, ensure_ascii=False, default=_plain).encode(errors="backslashreplace")


def error_response(error: Exception, *, statuses: ErrorStatuses) -> Response:
    """Return the response to an error: its problem."""
    found = problem_of(error, statuses=statuses)
    return problem_response(status=found.status, code=found.code, detail=found.detail, facts=found.facts)


def install_problems(app: FastAPI, *, statuses: ErrorStatuses) -> None:
    """Answer every error of the app with a problem document."""

    async def any_error(_: Request, error: Exception) -> Response:
        return error_response(error, statuses=statuses)

    async def invalid_request(_: Request, error: Exception) -> Response:
        fields = error.errors() if isinstance(error, RequestValidationError) else []
        # Only where and why: the refused value itself may be a secret.
        found = [{"field": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in fields]
        if any(each["type"] == "json_invalid" for each in fields):
            return problem_response(status=400, code="malformed_body", detail="The body is not JSON.")
        detail = "The request is not as the API describes it."
        return problem_response(status=422, code="invalid_request", detail=detail, facts={"fields": found})

    async def http_error(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = str(error.detail) if isinstance(error, HTTPException) else ""
        return problem_response(status=status, code=_HTTP_CODES.get(status, "http_error"), detail=detail)

    for kind in (*SHARED_ERRORS, *statuses, Problem, Exception):
        app.add_exception_handler(kind, any_error)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(HTTPException, http_error)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Money):
        return value.wire()
    return str(value)
