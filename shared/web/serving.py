"""How a service's HTTP app is built and served: one origin, a prefix a service, pure ASGI all the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar

import structlog
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from sse_starlette.sse import AppStatus
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.messaging.kafka import Kafka
from shared.runtime.settings import Settings
from shared.runtime.tracing import Span, enter_request, enter_trace, is_recording
from shared.storage.database import Database
from shared.web.auth import ForeignParty, Verifier
from shared.web.describing import describe
from shared.web.health import database_ready, health_router
from shared.web.issuer import Issuer
from shared.web.metrics import RouteMetrics
from shared.web.problems import ErrorStatuses, install_problems, problem_body

MAX_BODY_BYTES = 32 * 1024 * 1024
# (method, path) → how large the body may be of a route that never has it whole in memory.
Streamed = Mapping[tuple[str, str], int]
_FAILED = 500
_log = structlog.get_logger()
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_MIB = 1024 * 1024
# Longer than clients keep a connection that rests (httpx 5 s, nginx and cloud balancers 60 s): who ends it first must
# be the client, or a request may meet the server's goodbye on its way.
KEEP_ALIVE_S = 75
_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", _POLICY),
]


@dataclass
class ServiceApp:
    """One service's HTTP app, and what to close when it ends."""

    name: str
    fastapi: FastAPI
    asgi: ASGIApp
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.asgi(scope, receive, send)

    async def aclose(self) -> None:
        """Close pools and finish gathered commands."""
        for close in self.closing:
            await close()


def service_app(
    name: str,
    *,
    settings: Settings,
    database: Database,
    routers: Sequence[APIRouter],
    statuses: ErrorStatuses,
    hot_routes: Sequence[Route] = (),
    streamed: Streamed | None = None,
    closing: Iterable[Callable[[], Awaitable[None]]] = (),
) -> ServiceApp:
    """Build a service's app: its hot routes first, then its routers, problems for every error."""
    app = FastAPI(
        title=f"Tributary {name}",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"/{name}/v1/openapi.json",
        telemetry=None,
        generate_unique_id_function=lambda route: route.name,
    )
    issuer = Issuer(home=settings.home, issuer=settings.issuer, audience=settings.audience)
    app.state.settings = settings
    app.state.issuer = issuer
    app.state.database = database
    app.state.statuses = {ForeignParty: 403, **statuses}
    app.state.verifier = Verifier(jwks=issuer.jwks(), issuer=settings.issuer, audience=settings.audience)
    app.router.routes[:0] = list(hot_routes)
    prefix = f"/{name}/v1"
    for router in routers:
        app.include_router(router, prefix=prefix if name != "console" else "")
    checks = {"database": database_ready(database, service=name)}
    app.include_router(health_router(name, checks, kafka=Kafka.of(settings)), prefix=prefix)
    install_problems(app, statuses=app.state.statuses)
    app.openapi = partial(describe, app, app.openapi)  # type: ignore[method-assign] # FastAPI's own way to extend it
    edge = Edge(app, service=name, hot_routes=hot_routes, streamed=streamed)
    return ServiceApp(name, app, edge, [*closing, database.close])


def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


# What a route asks for when it needs its service's database.
Db = Annotated[Database, Depends(_database)]


class Edge:
    """What every request passes: its trace, its metrics, the body's size limit, the security headers."""

    def __init__(
        self, app: ASGIApp, *, service: str, hot_routes: Sequence[Route] = (), streamed: Streamed | None = None
    ) -> None:
        """Wrap a service's app; requests to its hot routes pass by FastAPI's layers, which add nothing to them."""
        self._app = app
        self._streamed = streamed or {}
        self._hot = {(method, route.path): route for route in hot_routes for method in route.methods or ()}
        self._service = service
        self._routes = RouteMetrics(app, service=service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        incoming = headers.get(b"traceparent", b"").decode("latin-1")
        span = self._span(incoming, scope) if is_recording() else None
        traceparent = (span.traceparent if span else enter_trace(incoming)).encode()

        started = 0
        largest = self._streamed.get((scope["method"], scope["path"]), MAX_BODY_BYTES)
        body = _Bounded(receive, largest)

        async def sending(message: Message) -> None:
            nonlocal started
            if body.is_too_large and not started:
                return  # the app believes that its client left
            if message["type"] == "http.response.start":
                started = message["status"]
                self._routes.answered(scope, status=started, seconds=time.perf_counter() - began)
                message["headers"] = [*message["headers"], *_SECURITY, (b"traceparent", traceparent)]
            await send(message)

        length = headers.get(b"content-length", b"0")
        try:
            if not length.isdigit() or int(length) > largest:
                await _refuse(sending, **_too_large(largest))
            else:
                app = self._passing_by(scope) or self._app
                await app(scope, body.receive if b"transfer-encoding" in headers else receive, sending)
        except Exception as error:  # noqa: BLE001 - the last place where an error can become an answer
            # Starlette raises again what it has answered and logged: a second traceback, from the server, tells
            # nothing more and may tell too much.
            if not started and not body.is_too_large:
                _log.error("request failed", exc_info=error, path=scope["path"])
                await _refuse(sending, status=500, code="internal_error", detail="Something failed here; it is logged.")
        if body.is_too_large and not started:
            body.is_too_large = False
            await _refuse(sending, **_too_large(largest))
        if span is not None:
            span.end(attributes=self._routes.facts(scope, status=started), failed=started >= _FAILED)

    def _passing_by(self, scope: Scope) -> ASGIApp | None:
        """Return the hot route that a request asks for, with the scope as FastAPI would have filled it."""
        route = self._hot.get((scope["method"], scope["path"]))
        if route is None:
            return None
        scope.update(app=self._app, endpoint=route.endpoint, route=route, path_params={})
        return route.app

    def _span(self, incoming: str, scope: Scope) -> Span:
        facts = {"http.request.method": scope["method"], "url.path": scope["path"]}
        return enter_request(incoming, service=self._service, attributes=facts)


class _Bounded:
    """A body that comes in pieces and does not say how long it is: it ends where it becomes too large."""

    def __init__(self, receive: Receive, largest: int) -> None:
        self._receive = receive
        self._largest = largest
        self._seen = 0
        self.is_too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._largest:
            self.is_too_large = True
            return {"type": "http.disconnect"}
        return message


def _too_large(largest: int) -> dict[str, Any]:
    return {"status": 413, "code": "body_too_large", "detail": f"The body is over {largest // _MIB} MiB."}


async def _refuse(send: Send, *, status: int, code: str, detail: str) -> None:
    headers = [(b"content-type", b"application/problem+json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": problem_body(status=status, code=code, detail=detail)})


class Composite:
    """Several apps on one origin: dispatch by the first path segment, one dictionary lookup."""

    def __init__(self, apps: Mapping[str, ASGIApp], *, fallback: ASGIApp) -> None:
        """Serve each app under its name, and everything else by the fallback."""
        self._apps = dict(apps)
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            return
        segment = scope["path"].split("/", 2)[1] if "/" in scope["path"] else ""
        await self._apps.get(segment, self._fallback)(scope, receive, send)


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: who runs it decides when it ends."""

    def install_signal_handlers(self) -> None:
        """Leave the signals to the owner."""

    def capture_signals(self) -> Any:
        """Leave the signals to the owner."""
        return contextlib.nullcontext()


class PortTaken(RuntimeError):
    """Another process listens on the port."""

    code: ClassVar[str] = "port_taken"

    def __init__(self, *, port: int) -> None:
        """Keep the port, and say what to do."""
        self.port = port
        super().__init__(f"Port {port} is taken; stop what listens there, or choose another TRIBUTARY_PORT.")


def listen(*, host: str, port: int) -> socket.socket:
    """Return a listening socket (port 0: any free port); PortTaken when another process has it."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(port=port) from error


async def serve(app: ASGIApp, *, listener: socket.socket, stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Serve on the listener until `stop` is set; streams end at once, requests in flight within a second."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    server = Server(config)
    AppStatus.should_exit = False
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn announces its start by no event
        await asyncio.sleep(0.01)
    if server.started:
        ready.set()
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        AppStatus.should_exit = True
        server.should_exit = True
        stopping.cancel()
        await serving
