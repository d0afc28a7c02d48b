"""What a service's OpenAPI document says beyond FastAPI's own: who may call what, and that errors are problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI

from shared.web.auth import accesses
from shared.web.problems import SHARED_ERRORS, ErrorStatuses

Document = dict[str, Any]
_OF_THE_EDGE = {
    400: ("malformed_body",),
    401: ("expired_token", "invalid_token", "missing_token"),
    403: ("forbidden",),
    404: ("not_found",),
    405: ("method_not_allowed",),
    413: ("body_too_large",),
    422: ("invalid_request",),
    500: ("internal_error",),
    503: ("unavailable",),
}
_GENERATED = ("HTTPValidationError", "ValidationError")
_PROBLEM: Document = {
    "type": "object",
    "description": (
        "A problem document (RFC 9457). `code` is stable and what a program decides by; beside these members are the "
        "facts of the case, and `fields` where the request is not as described. This service's codes are listed under "
        "`x-problem-codes`."
    ),
    "properties": {
        "type": {"type": "string", "examples": ["/problems/limit_exceeded"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["limit_exceeded"]},
        "trace_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "trace_id"],
}
_ANSWERED = {
    "401": "No token, or one that is not accepted",
    "403": "Not with these roles, or not for this party",
    "404": "There is no such thing, or it is not for this caller",
    "409": "Not as things stand",
    "410": "No longer",
    "422": "The request is not as described here",
    "503": "Not just now: ask again",
    "default": "Refused, or failed",
}


def describe(app: FastAPI, generated: Callable[[], Document]) -> Document:
    """Return the OpenAPI document of an app, made once."""
    if app.openapi_schema is None:
        document = generated()
        for (method, path), access in accesses(app).items():
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is not None:
                declare(operation, roles=access.roles if access else ())
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for name in _GENERATED:
            schemas.pop(name, None)
        schemas["Problem"] = _PROBLEM
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        document["x-problem-codes"] = _codes(app.state.statuses)
    return app.openapi_schema or {}


def declare(operation: Document, *, roles: Iterable[str]) -> None:
    """Say in an operation who may call it, by any of the roles (without roles anybody), and how it refuses."""
    allowed = sorted(roles)
    operation["x-roles"] = allowed
    operation["security"] = [{"token": []}] if allowed else []
    responses = operation["responses"]
    refusals = {status for status in responses if not status.startswith("2")} | {"default"}
    for status in sorted(refusals | ({"401", "403"} if allowed else set())):
        responses[status] = {
            "description": _ANSWERED.get(status, _ANSWERED["default"]),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }


def _codes(statuses: ErrorStatuses) -> dict[str, list[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for status, codes in _OF_THE_EDGE.items():
        found[status] |= set(codes)
    for kind, status in {**SHARED_ERRORS, **statuses}.items():
        found[status].add(str(getattr(kind, "code", "refused")))
    return {str(status): sorted(codes) for status, codes in sorted(found.items())}
