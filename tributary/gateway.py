"""One origin before many processes: each request goes to its service by the first segment of its path.

For one machine. In a deployment the platform's own ingress does this.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shared.web.problems import problem_response

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# They belong to one connection, not to the message (RFC 9110, 7.6.1).
_HOP_BY_HOP = {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host"}
_CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=100)


class Gateway:
    """The services' ports on this machine, and the connections to them."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        """Know each service's port; nothing connects yet."""
        self._origins = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        # A stream of events stays open for as long as its reader likes.
        timeout = httpx.Timeout(60, connect=5, read=None)
        self._http = httpx.AsyncClient(timeout=timeout, limits=_CONNECTIONS, trust_env=False)

    def app(self) -> Starlette:
        """Return the app that forwards to one service; mount it under each service's name."""
        return Starlette(routes=[Route("/{path:path}", self._forward, methods=_METHODS)])

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _forward(self, request: Request) -> Response:
        service = request.url.path.split("/", 2)[1]
        url = self._origins[service] + request.scope["raw_path"].decode("ascii")
        if request.scope["query_string"]:
            url += "?" + request.scope["query_string"].decode("ascii")
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        sent = self._http.build_request(
            request.method,
            url,
            headers=_end_to_end(request.headers.raw),
            content=request.stream() if has_body else None,
        )
        try:
            answer = await self._http.send(sent, stream=True)
        except httpx.TransportError:
            detail = f"The process of {service} does not answer; it is being started again."
            return problem_response(status=502, code="service_away", detail=detail)
        response = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
        response.raw_headers = [(name.lower(), value) for name, value in _end_to_end(answer.headers.raw)]
        return response


def _end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
