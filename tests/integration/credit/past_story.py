"""A programme to which things happen at random, and how a line of it is explained."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from shared.events.envelope import Event
from shared.events.onboarding import EnterpriseReinstated, EnterpriseSuspended, ProgrammeLimitChanged
from shared.events.receivables import (
    ReceivableDiluted,
    ReceivableRejected,
    ReceivableSettled,
    Slice,
    VoucherIssued,
    VoucherTransferred,
)
from shared.events.settlement import BusinessDayClosed, LoanClosed
from shared.values.ids import new_id
from tests.integration.credit.world import DUE, OPEN, World, cny


async def explain(world: World, line_id: str, **query: str) -> dict[str, Any]:
    async with world.bench.caller("risk_officer") as bank:
        answer = await bank.get(f"/lines/{line_id}/explanation", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def lines_of(world: World) -> list[str]:
    async with world.bench.caller("risk_officer") as bank:
        items = (await bank.get("/lines", params={"programme_id": world.programme})).json()["items"]
    return [line["line_id"] for line in items]


class Story:
    """A programme to which things happen at random."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.dice = random.Random(seed)  # noqa: S311 - a story, not secrecy
        self.firms: list[str] = []
        self.held: list[str] = []
        self.approved: list[str] = []
        self.paid: dict[str, int] = {}
        self.documents: list[str] = []
        self.slices: list[tuple[str, str, Slice]] = []
        self.day = OPEN
        self.steps = 0

    async def begin(self) -> None:
        """Two suppliers in a row, and a distributor that the anchor supports with a share."""
        world = self.world
        await world.begin(recourse=self.dice.random() < 0.5)
        first = await world.supplier(traded="600000.00")
        self.firms = [first, await world.supplier(traded="300000.00", buyer_id=first)]
        distributor = new_id()
        await world.hear(
            world.firm(distributor),
            world.rating(distributor),
            world.link(world.anchor, distributor, traded="200000.00"),
            world.member(distributor, direction="downstream", support="0.333333"),
            world.agreement(distributor),
        )
        self.firms.append(distributor)

    async def go_on(self) -> None:
        """Let one thing happen."""
        steps: list[Callable[[], Awaitable[None]]] = [
            self._draw, self._draw, self._approve, self._pay, self._pay, self._repay, self._repay, self._cancel,
            self._rate, self._limit, self._link, self._suspend, self._next_day, self._admit_anew,
            self._confirm, self._confirm, self._confirm, self._dilute, self._settle, self._issue, self._transfer,
            self._draw,
        ]  # fmt: skip
        await self.dice.choice(steps)()
        self.steps += 1
        if self.steps % 10 == 0:
            await self._next_day()
            await self._rename()

    async def _draw(self) -> None:
        firm, world = self.dice.choice(self.firms), self.world
        downstream = firm == self.firms[2]
        owner, obligor = (world.anchor, firm) if downstream else (firm, world.anchor)
        document = await world.receivable(
            owner, amount=f"{self.dice.randint(100, 9999)}.{self.dice.randint(10, 99)}", obligor_id=obligor
        )
        answer = await world.draw(firm, [document], f"{self.dice.randint(1, 79)}.{self.dice.randint(10, 99)}")
        if answer.status_code == 201:
            self.held.append(answer.json()["drawdown_id"])

    async def _approve(self) -> None:
        if self.held:
            drawdown = self.held.pop()
            await self.world.hear(self.world.assigned(drawdown))
            if (await self.world.drawdown(drawdown))["state"] == "approved":
                self.approved.append(drawdown)

    async def _pay(self) -> None:
        if self.approved:
            drawdown = self.approved.pop()
            principal = (await self.world.drawdown(drawdown))["principal"]["amount"]
            await self.world.hear(self.world.disbursed(drawdown, principal))
            self.paid[drawdown] = round(float(principal) * 100)

    async def _repay(self) -> None:
        if self.paid:
            drawdown = self.dice.choice(list(self.paid))
            repaid = self.dice.choice([self.paid[drawdown], self.dice.randint(1, self.paid[drawdown])])
            text = f"{repaid // 100}.{repaid % 100:02}"
            await self.world.hear(self.world.repaid(drawdown, text))
            self.paid[drawdown] -= repaid
            if not self.paid[drawdown]:
                del self.paid[drawdown]
                closes = self.dice.random() < 0.5
                if closes:
                    await self.world.hear(LoanClosed(loan_id=drawdown, closed_date=DUE))
                if self.dice.random() < 0.3:
                    await self.world.hear(self.world.repaid(drawdown, f"-{text}", outstanding=text))
                    self.paid[drawdown] = repaid

    async def _cancel(self) -> None:
        for drawdown in self.dice.sample(self.held, min(1, len(self.held))):
            async with self.world.bench.caller("bank_maker") as bank:
                path, headers = f"/drawdowns/{drawdown}/cancel", {"idempotency-key": new_id()}
                await bank.post(path, json={"reason": "story"}, headers=headers)
            self.held.remove(drawdown)

    async def _rate(self) -> None:
        firm = self.dice.choice([*self.firms, self.world.anchor])
        await self.world.hear(self.world.rating(firm, cap=f"{self.dice.randint(1, 999)}000.00"))

    async def _limit(self) -> None:
        limit = cny(f"{self.dice.randint(1, 99)}0000.00")
        changed = {"limit": limit, "upstream_limit": limit, "downstream_limit": limit}
        await self.world.hear(ProgrammeLimitChanged(programme_id=self.world.programme, reason="story", **changed))

    async def _link(self) -> None:
        traded = f"{self.dice.randint(1, 99)}0000.00"
        await self.world.hear(self.world.link(self.firms[0], self.world.anchor, traded=traded))

    async def _suspend(self) -> None:
        firm = self.dice.choice(self.firms)
        await self.world.hear(EnterpriseSuspended(enterprise_id=firm, reason="story"))
        self.held = [each for each in self.held if (await self.world.drawdown(each))["state"] == "held"]
        self.approved = [each for each in self.approved if (await self.world.drawdown(each))["state"] == "approved"]
        if self.dice.random() < 0.7:
            await self.world.hear(EnterpriseReinstated(enterprise_id=firm))

    async def _next_day(self) -> None:
        closed, self.day = self.day, self.day + timedelta(days=self.dice.randint(1, 3))
        await self.world.hear(BusinessDayClosed(closed_date=closed, open_date=self.day))

    async def _confirm(self) -> None:
        firm, dice = self.dice.choice(self.firms), self.dice
        owner, obligor = (self.world.anchor, firm) if firm == self.firms[2] else (firm, self.world.anchor)
        due = self.day + timedelta(days=dice.randint(2, 60))
        amount = f"{dice.randint(100, 9999)}.{dice.randint(10, 99)}"
        self.documents.append(await self.world.receivable(owner, amount=amount, obligor_id=obligor, due=due))

    async def _dilute(self) -> None:
        if self.documents:
            amount = cny(f"{self.dice.randint(0, 99)}.{self.dice.randint(10, 99)}")
            diluted = ReceivableDiluted(
                receivable_id=self.dice.choice(self.documents), by=cny("1.00"), financeable=amount, reason="note"
            )
            await self.world.hear(diluted)

    async def _settle(self) -> None:
        if self.documents:
            document = self.documents.pop()
            ends: list[Event] = [
                ReceivableSettled(receivable_id=document),
                ReceivableRejected(receivable_id=document, reason="story"),
            ]
            await self.world.hear(self.dice.choice(ends))

    async def _issue(self) -> None:
        if self.documents:
            document, root = self.documents.pop(), new_id()
            whole = Slice(slice_id=new_id(), holder_id=self.firms[0], start_minor=0, end_minor=500_00, state="live")
            issued = VoucherIssued(
                root_id=root,
                programme_id=self.world.programme,
                receivable_id=document,
                obligor_id=self.world.anchor,
                face=cny("500.00"),
                maturity_date=DUE,
                slice=whole,
            )
            await self.world.hear(issued)
            self.slices.append((root, self.firms[0], whole))

    async def _transfer(self) -> None:
        if self.slices:
            root, holder, whole = self.slices.pop()
            to = self.firms[1] if holder == self.firms[0] else self.firms[0]
            middle = (whole.start_minor + whole.end_minor) // 2
            ends = [(holder, whole.start_minor, middle), (to, middle, whole.end_minor)]
            parts = [
                Slice(slice_id=new_id(), holder_id=firm, start_minor=start, end_minor=end, state="live")
                for firm, start, end in ends
            ]
            moved = VoucherTransferred(
                root_id=root, replaced_slice_id=whole.slice_id, slices=parts, trade_reference="T"
            )
            await self.world.hear(moved)
            self.slices += [(root, part.holder_id, part) for part in parts]

    async def _rename(self) -> None:
        firm = self.dice.choice(self.firms)
        await self.world.hear(self.world.firm(firm, name=f"Firm {self.dice.randint(1, 9)}"))

    async def _admit_anew(self) -> None:
        support = f"0.{self.dice.randint(1, 999_999):06}"
        await self.world.hear(self.world.member(self.firms[2], direction="downstream", support=support))
