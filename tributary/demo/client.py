"""The public HTTP API as one person speaks to it, with tokens, idempotency keys and bounded waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from shared.values.ids import new_id

_BUSY, _BUSY_TRIES, _BUSY_PAUSE_S = 503, 600, 0.1
_POLL_S = 0.02
# A machine that has much else to do is slow, not wrong.
PATIENCE_S = 60.0
_PAGE = 500
Found = TypeVar("Found")


class Refused(Exception):
    """The platform answered a request with a problem document."""

    def __init__(self, *, status: int, document: Mapping[str, Any], request: str) -> None:
        """Keep the problem as it came."""
        self.status = status
        self.document = dict(document)
        self.code = str(document.get("code", "no_code"))
        self.detail = str(document.get("detail", ""))
        self.request = request
        super().__init__(f"{request}: {status} {self.code}: {self.detail}")


class NothingHappened(TimeoutError):
    """An effect did not arrive in time."""

    def __init__(self, *, awaited: str, within_s: float) -> None:
        """Keep what was awaited."""
        self.awaited = awaited
        super().__init__(f"Waited {within_s:g} s in vain for: {awaited}.")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a token; what they may do, their roles decide."""

    name: str
    roles: tuple[str, ...]
    party: str | None
    http: httpx.AsyncClient = field(repr=False)
    token: str = field(repr=False)

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Read; Refused when the platform says no."""
        return await self._send("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Register or decide something; Refused when the platform says no."""
        return await self._send("POST", path, json=body)

    async def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Set something; Refused when the platform says no."""
        return await self._send("PUT", path, json=body)

    async def command(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Move money, limits or claims, under a key of its own that every repetition shares."""
        return await self._send("POST", path, json=body, headers={"idempotency-key": new_id()})

    async def send_file(self, path: str, *, name: str, body: bytes, media_type: str, **query: str) -> dict[str, Any]:
        """Upload a file as it is."""
        headers = {"content-type": media_type}
        return await self._send("POST", path, params={"file": name, **query}, content=body, headers=headers)

    async def every(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        """Return all items of a paged list."""
        items: list[dict[str, Any]] = []
        cursor: dict[str, str | int] = {}
        while True:
            page = await self.get(path, **query, **cursor, limit=_PAGE)
            items += page["items"]
            if not page.get("next"):
                return items
            cursor = {"cursor": page["next"]}

    async def _send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **given: Any
    ) -> dict[str, Any]:
        signed = {"authorization": f"Bearer {self.token}", **(headers or {})}
        for _ in range(_BUSY_TRIES):
            answer = await self.http.request(method, path, headers=signed, **given)
            if answer.status_code != _BUSY:
                break
            await asyncio.sleep(_BUSY_PAUSE_S)
        return _read(answer, f"{method} {path} by {self.name}")


async def sign_in(
    http: httpx.AsyncClient, *, identity: Mapping[str, Any], name: str, roles: tuple[str, ...], party: str | None
) -> Person:
    """Exchange credentials for a token; Refused when they are not right."""
    form = {"grant_type": "client_credentials"}
    form |= {key: identity[key] for key in ("client_id", "client_secret")}
    answer = _read(await http.post("/onboarding/v1/token", data=form), f"token of {name}")
    return Person(name, roles, party, http, answer["access_token"])


async def until(look: Callable[[], Awaitable[Found | None]], *, awaited: str, within_s: float = PATIENCE_S) -> Found:
    """Return what `look` finds as soon as it is not None; NothingHappened when it stays away."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        found = await look()
        if found is not None:
            return found
        if loop.time() > deadline:
            raise NothingHappened(awaited=awaited, within_s=within_s)
        await asyncio.sleep(_POLL_S)


def _read(answer: httpx.Response, request: str) -> dict[str, Any]:
    if answer.is_success:
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found
    try:
        document = answer.json()
    except ValueError:
        document = {"code": "no_problem_document", "detail": answer.text[:200]}
    raise Refused(status=answer.status_code, document=document, request=request)
