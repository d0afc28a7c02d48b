"""For whom a caller speaks, and the commands that count once."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from shared.storage.idempotency import Answer, Key
from shared.web.auth import Caller
from shared.web.problems import Problem


def party_of(caller: Caller) -> str | None:
    """Return the enterprise to which a caller is bound, None for the bank's people; Problem for anybody else."""
    return None if caller.is_bank else own_of(caller)


def own_of(caller: Caller) -> str:
    """Return the enterprise for which a caller speaks; Problem when it speaks for none."""
    if caller.party is None:
        raise Problem(status=403, code="forbidden", detail="This is done for an enterprise; the token names none.")
    return caller.party


async def command_of(request: Request, caller: Caller, key: str | None, *, route: str) -> Key:
    """Return the name under which a command counts once, with what it asks."""
    return Key.of(client=caller.client_id, route=route, key=key, body=await request.body())


def answer_of(answer: Answer) -> Response:
    """Return what was answered, now or when the command came first."""
    return Response(answer.body, status_code=answer.status, media_type="application/json")
