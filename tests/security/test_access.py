"""Every route says who may call it, and nobody else gets through, whatever else is wrong with the request."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from services.credit.api import HOT_ROUTES
from shared.runtime.settings import Settings
from shared.web.auth import ROLES, access, accesses, public, unclassified_routes
from tributary.services import SERVICES, builds


def test_a_route_that_does_not_say_who_may_call_it_is_found_however_deep_it_lies() -> None:
    app, outer, inner = FastAPI(), APIRouter(prefix="/outer"), APIRouter(prefix="/inner")

    @inner.get("/open")
    async def forgotten() -> None: ...

    @inner.get("/said", dependencies=[access("erp")])
    async def said() -> None: ...

    @app.get("/anybody", dependencies=[public()])
    async def anybody() -> None: ...

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    app.router.routes.append(HOT_ROUTES[0])
    assert "/v1/outer/inner/open" in unclassified_routes(app)
    declared = {path: found.roles for (_, path), found in accesses(app).items() if found is not None}
    assert declared == {"/v1/outer/inner/said": {"erp"}, "/anybody": frozenset(), "/credit/v1/drawdowns": {"sme"}}


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_gets_through_without_a_token_or_without_the_role(service: str, tmp_path: Path) -> None:
    settings = Settings.model_construct(
        server_url="postgresql://nobody@127.0.0.1:1/none", bootstrap_servers="127.0.0.1:1", home=tmp_path
    )
    app = builds([service])[service](settings)
    issuer = app.fastapi.state.issuer
    protected = {route: found.roles for route, found in accesses(app.fastapi).items() if found and found.roles}
    assert len(protected) >= 2
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        for (method, template), roles in protected.items():
            path = re.sub(r"\{[^}]+\}", "x", template)
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "missing_token"), (method, path)
            for role in sorted(ROLES - roles):
                token = issuer.issue(subject="s", roles=[role], party="p", client_id="c")
                answer = await http.request(method, path, headers={"authorization": f"Bearer {token}"})
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path, role)
    await app.aclose()
