"""A desk that tries to finance, split, transfer and be paid the same claims as all the others, over and over.

What it knows of slices and transfers is as old as a person's page: much of it has changed meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from services.receivables.operations.assign_documents import assign_documents
from services.receivables.operations.follow_loans import finance_documents, free_documents, settle_documents
from services.receivables.operations.movables_registry import MovablesRegistry
from services.receivables.operations.transfer import Command, Offer, Reply, Transfers
from shared.events.credit import DrawdownHeld, DrawdownReleased
from shared.events.envelope import Event, Received
from shared.events.receivables import Document
from shared.events.settlement import LoanClosed, LoanDisbursed
from shared.storage.database import Database
from shared.storage.idempotency import Key
from shared.values.ids import new_id
from shared.values.money import Amount, Money
from tests.support.desks import serve, work_at_once

_DAY = date(2026, 12, 6)
_BATCH = 25
_TASKS = 12
_CONNECTIONS = 4
_KNOWN = 80
_OPEN = 50


def _cny(minor: int) -> Amount:
    return Amount.of(amount_minor=minor, currency="CNY")


class Claims:
    """One process among several: what it knows, and what came of what it tried."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Nothing is known yet."""
        self.database = Database(spec["url"], pool_size=_CONNECTIONS)
        self.transfers = Transfers(self.database)
        self.registry = MovablesRegistry(Path(spec["registry"]))
        self.firms: list[str] = spec["firms"]
        self.obligor: str = spec["obligor"]
        self.programme: str = spec["programme"]
        self.dice = random.Random(spec["seed"])  # noqa: S311 - what is tried next, nothing secret
        self.left: int = spec["attempts"]
        self.old = _KNOWN
        self.came: Counter[str] = Counter()
        self.silent: list[str] = []
        self.rows: dict[str, list[dict[str, Any]]] = {}

    async def look(self) -> None:
        """Learn what there is, replaced slices and answered transfers too."""
        statements = {
            "receivable": "SELECT receivable_id AS id, seller_id AS holder, payable_minor AS minor FROM receivable",
            "slice": """SELECT slice_id AS id, root_id, holder_id AS holder, end_minor - start_minor AS minor
                FROM slice ORDER BY state IN ('live', 'offered') DESC, slice_id DESC LIMIT 200""",
            "transfer": "SELECT * FROM transfer ORDER BY state = 'offered' DESC, transfer_id DESC LIMIT 100",
        }
        async with self.database.reader() as tx:
            self.rows = {name: [dict(row) for row in await tx.pg.fetch(sql)] for name, sql in statements.items()}

    async def go(self) -> dict[str, Any]:
        """Try until all attempts are used up; return what came of them, by code."""
        await asyncio.gather(*(self._try_on() for _ in range(_TASKS)))
        await self.transfers.aclose()
        await self.database.close()
        return {"came": self.came, "silent": self.silent}

    async def _try_on(self) -> None:
        while self.left > 0:
            if self.old <= 0:
                self.old = _KNOWN
                await self.look()
            what = self.dice.choices(["finance", "offer", "reply"], [1, 12, 12])[0]
            if what == "reply" and not self.rows["transfer"]:
                what = "offer"
            tried = _BATCH if what == "finance" else 1
            self.left, self.old = self.left - tried, self.old - tried
            if what == "finance":
                await self._finance()
            else:
                await self._pass_on(what, self._offer() if what == "offer" else self._reply())

    async def _pass_on(self, what: str, command: Command) -> None:
        try:
            await self.transfers.submit(command)
            came = "done"
        except Exception as error:  # noqa: BLE001 - whatever refused it is what came of it
            came = getattr(error, "code", repr(error))
            if not str(error):
                self.silent.append(came)
        self.came[f"{what}: {came}"] += 1

    def _pick(self, kind: str) -> dict[str, Any]:
        """Choose among what was open when this process looked, mostly; or among everything."""
        rows = self.rows[kind]
        return self.dice.choice(rows[:_OPEN] if self.dice.random() < 0.7 else rows)

    def _offer(self) -> Offer:
        piece = self._pick("slice")
        # Now and then somebody offers what is another's, or more than there is.
        party = piece["holder"] if self.dice.random() < 0.9 else self.dice.choice(self.firms)
        return Offer(
            key=_key(),
            party=party,
            actor="desk",
            root_id=piece["root_id"],
            slice_id=piece["id"],
            amount=Money(self.dice.randint(1, piece["minor"] + piece["minor"] // 9 + 1), "CNY"),
            transferee_id=self.dice.choice([firm for firm in self.firms if firm != party]),
            trade_reference="PO-1",
        )

    def _reply(self) -> Reply:
        offered = self._pick("transfer")
        return Reply(
            key=_key(),
            party=offered["transferee_id"] if self.dice.random() < 0.9 else self.dice.choice(self.firms),
            actor="desk",
            root_id=offered["root_id"],
            transfer_id=offered["transfer_id"],
            answer="accept" if self.dice.random() < 0.8 else "decline",
        )

    async def _finance(self) -> None:
        """Draw as an inbox hears of it: a batch in one transaction; some of it is paid out, paid back, released."""
        held = [self._held() for _ in range(_BATCH)]
        async with self.database.transaction() as tx:
            await assign_documents(tx, list(_received(held)), registry=self.registry)
            ids = [each.drawdown_id for each in held]
            rows = await tx.pg.fetch(
                "SELECT drawdown_id, state, code, reason FROM assignment WHERE drawdown_id = ANY($1)", ids
            )
        for row in rows:
            self.came[f"finance: {row['code'] or 'done'}"] += 1
            if row["code"] and not row["reason"]:
                self.silent.append(row["code"])
        await self._follow([row["drawdown_id"] for row in rows if row["state"] == "assigned"])

    async def _follow(self, drawdown_ids: list[str]) -> None:
        """Let drawdowns go on: released, or paid out, some of those paid back; now and then heard twice (R19)."""
        luck = {drawdown_id: self.dice.random() for drawdown_id in drawdown_ids}
        released = [each for each in drawdown_ids if luck[each] < 0.8]
        paid = [each for each in drawdown_ids if 0.8 <= luck[each] < 0.95]
        back = [each for each in paid for _ in range(self.dice.choice([0, 1, 2]))]
        await self._hear(free_documents, [DrawdownReleased(drawdown_id=each, reason="cancelled") for each in released])
        await self._hear(finance_documents, [_paid_out(each) for each in paid])
        await self._hear(settle_documents, [LoanClosed(loan_id=each, closed_date=_DAY) for each in back])

    async def _hear(self, handler: Callable[..., Awaitable[None]], events: Sequence[Event]) -> None:
        if events:
            async with self.database.transaction() as tx:
                await handler(tx, list(_received(events)), registry=self.registry)

    def _held(self) -> DrawdownHeld:
        kind = self.dice.choice(["receivable", "slice", "slice"])
        first = self._pick(kind)
        chosen = [first]
        if self.dice.random() < 0.3:
            chosen.append(self._pick(kind))
        documents = [
            Document(kind=kind, document_id=each["id"], amount=_cny(each["minor"] + (self.dice.random() < 0.03)))
            for each in chosen
        ]
        return DrawdownHeld(
            drawdown_id=new_id(),
            line_id=new_id(),
            programme_id=self.programme,
            enterprise_id=first["holder"] if self.dice.random() < 0.95 else self.dice.choice(self.firms),
            obligor_id=self.obligor,
            principal=_cny(1),
            held=_cny(1),
            documents=documents,
            purpose="race",
            expires_at=datetime.now(UTC),
        )


def _paid_out(drawdown_id: str) -> LoanDisbursed:
    return LoanDisbursed(
        loan_id=drawdown_id, principal=_cny(1), paid_out=_cny(1), disbursed_date=_DAY, maturity_date=_DAY
    )


def _key() -> Key:
    return Key.of(client="desk", route="race", key=new_id(), body=b"")


def _received(events: Iterable[Event]) -> Iterable[Received]:
    for event in events:
        yield Received(new_id(), event.type, event.topic, event.subject, 1, datetime.now(UTC), "test", None, event)


async def _prepare(spec: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
    claims = Claims(spec)
    await claims.look()
    return claims.go


async def attempt(specs: list[dict[str, Any]]) -> list[Any]:
    """Start a desk for each spec, let all go at once; return what came of it, desk by desk."""
    return await work_at_once(__name__, specs)


if __name__ == "__main__":
    asyncio.run(serve(_prepare))
