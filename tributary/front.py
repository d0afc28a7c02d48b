"""What the origin serves beside the services: the way to the pages, the API's docs as plain HTML, the metrics."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from shared.web.metrics import metrics
from shared.web.problems import problem_response
from shared.web.serving import Edge, ServiceApp

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tributary: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/console/assets/pico.min.css"></head><body><main class="container">"""


def front(apps: Mapping[str, ServiceApp]) -> Edge:
    """Return the app that answers what no service does."""

    async def home(_: Request) -> Response:
        return RedirectResponse("/console/" if "console" in apps else "/docs")

    async def docs(_: Request) -> Response:
        return HTMLResponse(docs_page(apps))

    async def unknown(request: Request, _: Exception) -> Response:
        detail = f"Nothing is at {request.url.path[:200]}; the API is described at /docs."
        return problem_response(status=404, code="not_found", detail=detail)

    routes = [
        Route("/", home, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    return Edge(Starlette(routes=routes, exception_handlers={404: unknown}), service="front")


def docs_page(apps: Mapping[str, ServiceApp]) -> str:
    """Return the page that lists every operation of every service."""
    parts = [_HEAD, "<h1>Tributary: the API</h1>"]
    parts += [
        "<p>One origin, a prefix a service. Get a token at <code>POST /onboarding/v1/token</code>, ",
        "send it as <code>Authorization: Bearer</code>.</p>",
    ]
    for name, app in apps.items():
        document: dict[str, Any] = app.fastapi.openapi()
        url = app.fastapi.openapi_url
        parts.append(f'<section><h2 id="{name}">{name}</h2><p><a href="{url}">OpenAPI document</a></p>')
        parts.append("<table><thead><tr><th>operation</th><th>what it does</th></tr></thead><tbody>")
        for path, methods in document.get("paths", {}).items():
            for method, operation in methods.items():
                what = html.escape(operation.get("description") or operation.get("summary") or "")
                parts.append(f"<tr><td><code>{method.upper()} {html.escape(path)}</code></td><td>{what}</td></tr>")
        parts.append("</tbody></table></section>")
    return "".join([*parts, "</main></body></html>"])
