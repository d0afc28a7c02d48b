"""Settlement's routes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.settlement import queries
from services.settlement.operations import book, clear_suspense, find_out, rail
from services.settlement.operations.close_days import close_days
from services.settlement.operations.record_statement import StatementEntry, record_statement
from services.settlement.schemas import BehaviourIn, BookIn, ClearingIn, EvidenceIn, StatementIn
from shared.messaging.parked import DECISIONS
from shared.storage.paging import read_cursor
from shared.values.ids import parse_id
from shared.web.approvals import approvals_router
from shared.web.auth import BANK, PARTIES, Caller, access, own_party
from shared.web.callers import answer_of, command_of
from shared.web.serving import Db

router = APIRouter()
_Limit = Annotated[int, Query(ge=1, le=500)]


@router.post("/book", status_code=201)
async def open_book(body: BookIn, database: Db, caller: Annotated[Caller, access("bank_maker")]) -> dict[str, Any]:
    """Open an empty book, once."""
    opened = await book.open_book(database, opening_date=body.opening_date, actor=caller.subject)
    return {"open_date": opened}


@router.get("/business-days/current")
async def read_current_day(database: Db, _: Annotated[Caller, access(*BANK, *PARTIES)]) -> dict[str, Any]:
    """Read the open business day."""
    return {"open_date": await queries.current_day(database)}


@router.post("/business-days/{day}/close", status_code=201)
async def propose_close(day: date, database: Db, caller: Annotated[Caller, access("bank_maker")]) -> dict[str, Any]:
    """Propose to close every open day up to and including this one."""
    proposal = await book.propose_close(database, day=day, actor=caller.subject)
    return proposal.wire()


@router.put("/rail/behaviours")
async def put_behaviour(
    body: BehaviourIn, database: Db, caller: Annotated[Caller, access("administrator")]
) -> dict[str, Any]:
    """Tell the simulated rail what to do with the next payments to an account."""
    await rail.set_behaviour(
        database, account=body.account, outcome=body.outcome, count=body.count, actor=caller.subject
    )
    return body.model_dump()


@router.get("/loans")
async def list_loans(
    database: Db, caller: Annotated[Caller, access(*BANK, "sme")], cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List loans; an SME sees its own (R23)."""
    return await queries.loans(database, party=caller.party, after=read_cursor(cursor), limit=limit)


@router.get("/loans/{loan_id}")
async def read_loan(loan_id: str, database: Db, caller: Annotated[Caller, access(*BANK, "sme")]) -> dict[str, Any]:
    """Read a loan; an SME its own (R23)."""
    found = await queries.loan(database, loan_id=parse_id(loan_id))
    own_party(caller, found["enterprise_id"])
    return found


@router.post("/loans/{loan_id}/evidence", status_code=201)
async def propose_evidence(
    loan_id: str, body: EvidenceIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose what became of an unknown payment."""
    proposal = await find_out.propose_evidence(
        database, loan_id=parse_id(loan_id), outcome=body.outcome, reason=body.reason, actor=caller.subject
    )
    return proposal.wire()


@router.post("/statements", status_code=201)
async def post_statement(
    body: StatementIn,
    request: Request,
    database: Db,
    caller: Annotated[Caller, access("bank_maker")],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Record the entries of a bank statement."""
    key = await command_of(request, caller, idempotency_key, route="POST /settlement/v1/statements")
    answer = await record_statement(
        database,
        account=body.account,
        entries=[StatementEntry(**dict(entry)) for entry in body.entries],
        key=key,
        actor=caller.subject,
    )
    return answer_of(answer)


@router.get("/collections")
async def list_collections(
    database: Db, _: Annotated[Caller, access(*BANK)], cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List receipts and how each was applied."""
    return await queries.collections(database, after=read_cursor(cursor), limit=limit)


@router.get("/suspense")
async def list_suspense(
    database: Db, _: Annotated[Caller, access(*BANK)], cursor: str | None = None, limit: _Limit = 100
) -> dict[str, Any]:
    """List what waits for a person: money whose owner nobody could tell yet."""
    return await queries.suspense(database, after=read_cursor(cursor), limit=limit)


@router.get("/suspense/{suspense_id}")
async def read_suspense(suspense_id: str, database: Db, _: Annotated[Caller, access(*BANK)]) -> dict[str, Any]:
    """Read what came into suspense, and what became of it."""
    return await queries.suspended(database, suspense_id=parse_id(suspense_id))


@router.post("/suspense/{suspense_id}/clearings", status_code=201)
async def propose_clearing(
    suspense_id: str, body: ClearingIn, database: Db, caller: Annotated[Caller, access("bank_maker")]
) -> dict[str, Any]:
    """Propose what becomes of what waits: to a loan, to a receivable's owner, back to the payer, against a debit."""
    asked = clear_suspense.Asked(minor=0, **body.model_dump(exclude={"amount"}))
    proposal = await clear_suspense.propose_clearing(
        database, suspense_id=parse_id(suspense_id), asked=asked, amount=body.amount, actor=caller.subject
    )
    return proposal.wire()


@router.get("/ledger/accounts")
async def list_accounts(database: Db, _: Annotated[Caller, access(*BANK)]) -> dict[str, Any]:
    """List the ledger's accounts with their balances."""
    return await queries.accounts(database)


@router.get("/ledger/transactions")
async def list_transactions(
    database: Db,
    _: Annotated[Caller, access(*BANK)],
    loan_id: str | None = None,
    cursor: str | None = None,
    limit: _Limit = 100,
) -> dict[str, Any]:
    """List ledger transactions, of one loan or of all."""
    return await queries.transactions(
        database, loan_id=parse_id(loan_id) if loan_id else None, after=read_cursor(cursor), limit=limit
    )


@router.get("/income")
async def read_income(database: Db, _: Annotated[Caller, access(*BANK)]) -> dict[str, Any]:
    """Read what the bank earned."""
    return await queries.income(database)


router.include_router(
    approvals_router(
        deciders=("bank_checker",),
        approved={
            "business_day.close": close_days,
            "loan.evidence": find_out.accept_evidence,
            clear_suspense.KIND: clear_suspense.clear_suspense,
            **DECISIONS,
        },
    )
)
