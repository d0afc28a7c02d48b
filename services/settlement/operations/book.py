"""Open the book once, and lock its open day: whoever moves money shares it, whoever closes days has it alone."""

from __future__ import annotations

from datetime import date
from typing import Any

from services.settlement.domain.business_day import BookAlreadyOpen, BookNotOpen, check_close, check_open, today
from shared.events.settlement import BusinessDayOpened
from shared.messaging.outbox import append
from shared.runtime.clock import database_now
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.policies import policy_on

SOURCE = "settlement"


async def open_book(database: Database, *, opening_date: date, actor: str) -> date:
    """Open an empty book; BookAlreadyOpen the second time."""
    async with database.transaction() as tx:
        check_open(opening_date=opening_date, today=await _today(tx, on=opening_date))
        opened = await tx.pg.fetchval(
            """INSERT INTO book (opening_date, open_date) VALUES ($1, $1) ON CONFLICT DO NOTHING RETURNING open_date""",
            opening_date,
        )
        if opened is None:
            raise BookAlreadyOpen(open_date=await open_day(tx))
        await append(tx, [BusinessDayOpened(open_date=opening_date)], source=SOURCE)
        await record(tx, [Entry(actor, "book.opened", "book", {"opening_date": opening_date})])
    return opening_date


async def propose_close(database: Database, *, day: date, actor: str) -> Approval:
    """Propose to close every open day up to and including this one; a second person decides."""
    async with database.transaction() as tx:
        await check_closable(tx, day=day, open_date=await open_day(tx))
        content = {"date": day.isoformat()}
        proposal = await propose(tx, kind="business_day.close", subject="book", content=content, proposer=actor)
        await record(tx, [Entry(actor, "close.proposed", "book", content)])
    return proposal


async def check_closable(tx: Transaction, *, day: date, open_date: date) -> None:
    """Refuse a day that is closed already or has not come; DayAlreadyClosed, DayInTheFuture."""
    check_close(day=day, open_date=open_date, today=await _today(tx, on=open_date))


async def open_day(tx: Transaction) -> date:
    """Return the open day and keep it from being closed until the transaction ends; BookNotOpen when there is none."""
    return _open_date(await tx.pg.fetchval("SELECT open_date FROM book FOR SHARE"))


async def open_day_alone(tx: Transaction) -> date:
    """Return the open day, locked against everybody; BookNotOpen when there is none."""
    return _open_date(await tx.pg.fetchval("SELECT open_date FROM book FOR UPDATE"))


def _open_date(found: Any) -> date:
    if found is None:
        raise BookNotOpen
    day: date = found
    return day


async def _today(tx: Transaction, *, on: date) -> date:
    policy = policy_on("settlement", on=on)
    return today(now=await database_now(tx), zone=policy.values["zone"])
