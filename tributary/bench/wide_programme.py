"""A programme with thousands of lines on the running platform, and how long a change of its limit takes to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx

from services.credit.consumers import HANDLERS
from shared.events.envelope import Event, Received
from shared.events.onboarding import EnterpriseRegistered, LineAgreementSigned, LinkRecorded, MemberAdmitted
from shared.events.risk import RatingRecorded
from shared.storage.database import Database, Transaction
from shared.values.ids import new_id
from shared.values.money import Amount
from tributary.bench.terms import programme_terms
from tributary.demo.client import Person
from tributary.demo.people import people_of
from tributary.platform import Platform

_LOOK_S, _WITHIN_S = 0.01, 1200
_TERM = timedelta(days=730)
_LARGE = "900000000.00"


@dataclass(frozen=True, slots=True)
class Seen:
    """When a change had come how far, in seconds from the moment the second person's decision was sent."""

    decided: float
    lines: float
    events: float
    read_model: float


@dataclass(frozen=True, slots=True)
class WideProgramme:
    """The programme, who proposes and who decides, and the databases to look into."""

    programme_id: str
    lines: int
    maker: Person
    checker: Person
    credit: Database
    console: Database

    async def change_limit(self, amount: str) -> Seen:
        """Propose and decide other limits through onboarding's API; wait until the last page shows every line's."""
        limit = _money(amount)
        body = {"limit": limit, "upstream_limit": limit, "downstream_limit": limit, "reason": "bench"}
        proposal = await self.maker.post(f"/onboarding/v1/programmes/{self.programme_id}/limit-changes", body)
        clock = asyncio.get_running_loop().time
        began = clock()
        await self.checker.post(f"/onboarding/v1/approvals/{proposal['approval_id']}/approve")
        decided = clock() - began
        pool = Amount(amount=amount, currency="CNY").minor
        await _until(self.credit, lambda tx: self._written(tx, pool))
        lines = clock() - began
        await _until(self.credit, _published)
        events = clock() - began
        async with self.credit.reader() as tx:
            caps = await tx.pg.fetchval(
                "SELECT sum(cap_minor)::bigint FROM line WHERE programme_id = $1", self.programme_id
            )
        await _until(self.console, lambda tx: self._shown(tx, pool, caps))
        return Seen(decided, lines, events, clock() - began)

    async def settled(self) -> None:
        """Return once nothing of the programme is due or on its way, and all is published."""
        await _until(self.credit, _nothing_due)
        await _until(self.credit, _published)

    async def _written(self, tx: Transaction, pool: int) -> bool:
        found = await tx.pg.fetchval("SELECT pool_minor FROM programme WHERE programme_id = $1", self.programme_id)
        return bool(found == pool)

    async def _shown(self, tx: Transaction, pool: int, caps: int) -> bool:
        row = await tx.pg.fetchrow(
            """SELECT (SELECT pool_minor FROM programme_exposure WHERE programme_id = $1) AS pool,
                count(*) AS lines, sum(cap_minor)::bigint AS caps FROM line_exposure WHERE programme_id = $1""",
            self.programme_id,
        )
        return row is not None and tuple(row) == (pool, self.lines, caps)


async def _published(tx: Transaction) -> bool:
    return not await tx.pg.fetchval("SELECT EXISTS (SELECT FROM outbox_pending) OR EXISTS (SELECT FROM generation)")


async def _is_known(tx: Transaction, programme_id: str) -> bool:
    return bool(await tx.pg.fetchval("SELECT EXISTS (SELECT FROM programme WHERE programme_id = $1)", programme_id))


async def _nothing_due(tx: Transaction) -> bool:
    return not await tx.pg.fetchval("SELECT EXISTS (SELECT FROM due_propagation) OR EXISTS (SELECT FROM generation)")


async def _until(database: Database, is_so: Callable[[Transaction], Any]) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while True:
            async with database.reader() as tx:
                if await is_so(tx):
                    return
            await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def wide_programme(platform: Platform, *, lines: int) -> AsyncIterator[WideProgramme]:
    """Start a programme through the API; tell credit of its members as its inbox would, in large batches."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=platform.origin, timeout=_WITHIN_S))
        credit, console = (Database(platform.settings.database(name), pool_size=1) for name in ("credit", "console"))
        stack.push_async_callback(credit.close)
        stack.push_async_callback(console.close)
        people = await people_of(http, home=platform.settings.home)
        maker, checker = await people.bank("maker", "bank_maker"), await people.bank("checker", "bank_checker")
        anchor = {"name": "anchor", "country": "CN", "account": "ACC-anchor", "size_class": "large"}
        anchor_id = str((await maker.post("/onboarding/v1/enterprises", anchor))["enterprise_id"])
        terms = programme_terms(Amount(amount=_LARGE, currency="CNY")).model_dump(mode="json")
        body = {"name": "wide", "anchor_id": anchor_id, "terms": terms}
        proposed = await maker.post("/onboarding/v1/programmes", body)
        await checker.post(f"/onboarding/v1/approvals/{proposed['approval_id']}/approve")
        programme_id = str(proposed["programme_id"])
        await _until(credit, lambda tx: _is_known(tx, programme_id))
        for facts in _facts(anchor_id, programme_id, [new_id() for _ in range(lines)]):
            if facts:
                await _hear(credit, facts)
        yield WideProgramme(programme_id, lines, maker, checker, credit, console)


async def _hear(database: Database, facts: Sequence[Event]) -> None:
    at = datetime.now(UTC)
    said = [Received(new_id(), fact.type, fact.topic, fact.subject, 1, at, "bench", None, fact) for fact in facts]
    async with database.transaction() as tx:
        await HANDLERS[type(facts[0])](tx, said)


def _facts(anchor: str, programme_id: str, firms: Sequence[str]) -> list[list[Event]]:
    """Return what is said of each firm, kind by kind; the pool bounds every line, so that each change moves it."""
    today, random = datetime.now(UTC).date(), Random(len(firms))  # noqa: S311 - sizes, not secrets
    large, nothing = Amount(amount=_LARGE, currency="CNY"), Amount(amount="0.00", currency="CNY")
    return [
        [
            EnterpriseRegistered(
                enterprise_id=firm,
                name=f"supplier {n}",
                country="CN",
                legal_identifiers={},
                group_head_id=firm,
                size_class="small",
                industry="",
                account=f"account {n}",
            )
            for n, firm in enumerate(firms)
        ],
        [
            RatingRecorded(
                enterprise_id=firm,
                grade="A",
                cap=large,
                multiplier="1.000000",
                risk_spread="0.010000",
                reasons=["bench"],
                valid_until=today + _TERM,
                policy_version="officer",
            )
            for firm in firms
        ],
        [
            LinkRecorded(
                link_id=new_id(),
                supplier_id=firm,
                buyer_id=anchor,
                traded=Amount(amount=f"{random.randint(100_000, 10_000_000)}.00", currency="CNY"),
                contract="bench",
            )
            for firm in firms
        ],
        [
            LineAgreementSigned(
                enterprise_id=firm,
                programme_id=programme_id,
                signed_date=today,
                expiry_date=today + _TERM,
                committed=nothing,
            )
            for firm in firms
        ],
        [
            MemberAdmitted(
                programme_id=programme_id, enterprise_id=firm, direction="upstream", anchor_support="0.000000"
            )
            for firm in firms
        ],
    ]


def _money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}
