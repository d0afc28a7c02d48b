"""Routes of netting: the bank runs it, every party accepts, or nothing happens (R14)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.settlement import queries
from services.settlement.domain.netting import Cash
from services.settlement.operations import answer_nettings
from services.settlement.operations.run_netting import run_netting
from services.settlement.schemas import CashIn, NettingIn, ReasonIn
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.values.money import Amount, CurrencyMismatch, InvalidAmount
from shared.web.auth import BANK, PARTIES, Caller, access
from shared.web.callers import answer_of, command_of, own_of, party_of
from shared.web.serving import Db

netting = APIRouter()
_Limit = Annotated[int, Query(ge=1, le=500)]
_Reader = Annotated[Caller, access(*BANK, *PARTIES)]
# Who signs for a firm; a machine does not.
_Signer = Annotated[Caller, access("sme", "anchor_checker")]


@netting.get("/netting/obligations")
async def list_obligations(
    database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List debts and whether each could be netted; a party sees its own (R23)."""
    return await queries.obligations(database, party=party_of(caller), after=read_cursor(cursor), limit=limit)


@netting.post("/netting/runs", status_code=201)
async def post_run(
    body: NettingIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("bank_maker")],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Net what is free and propose it to the parties; with cash, quote what both would clear."""
    key = await command_of(request, caller, idempotency_key, route="POST /settlement/v1/netting/runs")
    answer = await run_netting(
        database,
        currency=body.currency,
        enterprise_ids=body.enterprise_ids,
        cash=_cash(body.cash, currency=body.currency) if body.cash is not None else None,
        accept_hours=body.accept_hours,
        key=key,
        actor=caller.subject,
    )
    return answer_of(answer)


@netting.get("/netting/runs/{run_id}")
async def read_run(run_id: str, database: Db, _: Annotated[Caller, access(*BANK)]) -> dict[str, Any]:
    """Read what a run found and what its cash would do."""
    return await queries.netting_run(database, run_id=parse_id(run_id))


@netting.get("/netting/proposals")
async def list_proposals(
    database: Db, caller: _Reader, cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List nettings and what became of them; a party sees those it is in."""
    return await queries.nettings(database, party=party_of(caller), after=read_cursor(cursor), limit=limit)


@netting.get("/netting/proposals/{netting_id}")
async def read_proposal(netting_id: str, database: Db, caller: _Reader) -> dict[str, Any]:
    """Read a netting: a party its own legs and the totals, the bank all of it (R23)."""
    return await queries.netting(database, netting_id=parse_id(netting_id), party=party_of(caller))


@netting.post("/netting/proposals/{netting_id}/acceptance")
async def accept_proposal(netting_id: str, database: Db, caller: _Signer) -> dict[str, Any]:
    """Accept a netting for one's firm; it happens when the last party has."""
    accepted, party = parse_id(netting_id), own_of(caller)
    await answer_nettings.accept_netting(database, netting_id=accepted, party=party, actor=caller.subject)
    return await queries.netting(database, netting_id=accepted, party=party)


@netting.post("/netting/proposals/{netting_id}/decline")
async def decline_proposal(netting_id: str, body: ReasonIn, database: Db, caller: _Signer) -> dict[str, Any]:
    """Decline a netting for one's firm: it ends for all."""
    declined, party = parse_id(netting_id), own_of(caller)
    await answer_nettings.decline_netting(
        database, netting_id=declined, reason=body.reason, party=party, actor=caller.subject
    )
    return await queries.netting(database, netting_id=declined, party=party)


def _cash(given: CashIn, *, currency: str) -> Cash:
    by_firm = {firm: _minor(amount, currency=currency) for firm, amount in given.by_enterprise.items()}
    return Cash(_minor(given.total, currency=currency), by_firm)


def _minor(amount: Amount, *, currency: str) -> int:
    if amount.currency != currency:
        raise CurrencyMismatch(expected=currency, found=amount.currency)
    if amount.minor < 0:
        raise InvalidAmount(amount=amount.amount, reason="is below zero")
    return amount.minor
