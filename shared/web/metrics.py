"""The web edge's metrics: what each route takes, and the page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from shared.runtime.metrics import CONTENT_TYPE, exposition, request_observer
from shared.runtime.tracing import Attributes

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNMATCHED = "unmatched"


class RouteMetrics:
    """How long each route of an app takes: by its template, never by the path that was asked for."""

    def __init__(self, app: ASGIApp, *, service: str) -> None:
        """Know the app; what is observed is looked up once a route, method and status."""
        self._app = app
        self._service = service
        self._observers: dict[tuple[Any, str, int], Callable[[float], None]] = {}

    def answered(self, scope: Scope, *, status: int, seconds: float) -> None:
        """Observe a request whose answer begins."""
        name = scope.get("endpoint"), scope["method"], status
        observe = self._observers.get(name) or self._observer(scope, status)
        observe(seconds)

    def facts(self, scope: Scope, *, status: int) -> Attributes:
        """Return what a span says of a request that was answered."""
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        return {"http.request.method": method, "http.route": self._route(scope), "http.response.status_code": status}

    def _observer(self, scope: Scope, status: int) -> Callable[[float], None]:
        method = scope["method"]
        if method not in _METHODS:
            # Anybody can make up methods: not remembered one by one.
            return request_observer(service=self._service, route=_UNMATCHED, method="OTHER", status=status)
        observe = request_observer(service=self._service, route=self._route(scope), method=method, status=status)
        self._observers[scope.get("endpoint"), method, status] = observe
        return observe

    def _route(self, scope: Scope) -> str:
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return _UNMATCHED
        route = scope.get("route")
        if route is None:
            routes = getattr(self._app, "routes", ())
            route = next((each for each in routes if getattr(each, "endpoint", each) is endpoint), None)
        path: str = getattr(route, "path", _UNMATCHED)
        return path.removeprefix(f"/{self._service}/v1")


async def metrics(_: Request) -> Response:
    """Answer with every metric of this process."""
    return Response(exposition(), headers={"content-type": CONTENT_TYPE})
