"""Playing a round of the plan on a town with several clients at once, and what must be true of the town after it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from difflib import unified_diff
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.journal import Command, Journal
from tests.faults.market import ACCOUNT, SUPPLIERS, Invoice, cny, invoice, rating
from tests.faults.plan import Dilution, Draw, Receipt, Round, invoices_of
from tests.faults.report import Report
from tests.faults.state import parked, quiet, state_of
from tests.faults.town import Town, town
from tributary.verify.check import run_checks

_CLIENTS = 4


class Player:
    """Whoever plays the plan on a town."""

    def __init__(self, town: Town, report: Report) -> None:
        """Begin before the first round."""
        self.town = town
        self.journal = Journal(town, report)

    async def begin(self) -> None:
        """Let every supplier draw once: the first draw on a line has another price than those that follow."""
        firsts = [
            Draw(f"draw/FIRST-{name}", Invoice(f"FIRST-{name}", name, 30_000_00), 10_000_00) for name in SUPPLIERS
        ]
        await invoice(self.town.market, [each.invoice for each in firsts])
        for each in firsts:
            await self._draw(each)
        await quiet(self.town)

    async def play(self, one: Round) -> None:
        """Play a round: the commands at once, then the close of its day; every command is completed in the end."""
        await self._all_at_once(one)
        await quiet(self.town)
        await self.journal.complete()
        await quiet(self.town)
        await self._close(one)
        await quiet(self.town)
        await self.journal.complete()
        await quiet(self.town)

    async def check(self, expected: Sequence[str] | None, *, but: Sequence[str] = ()) -> dict[str, list[str]]:
        """Fail unless the invariants hold, nothing is parked, the journal agrees and the state is the one expected.

        Return what was found wrong with the invariants that need not hold.
        """
        await self.journal.reconcile(completed=True)
        assert await parked(self.town) == []
        found = await run_checks(self.town.settings)
        wrong = {name: result.examples for name, result in found.items() if result.violations}
        assert {name: examples for name, examples in wrong.items() if name not in but} == {}, wrong
        if expected is not None:
            found_state = await state_of(self.town)
            changes = list(unified_diff(expected, found_state, "undisturbed", "disturbed", n=0, lineterm=""))
            assert changes == [], "\n".join(changes[:40])
        return wrong

    async def _all_at_once(self, one: Round) -> None:
        turns: list[Callable[[], Awaitable[object]]] = [partial(self._change_limit, one), partial(self._rate, one)]
        turns += [partial(self._draw, each) for each in one.draws]
        turns += [partial(self._dilute, each) for each in one.dilutions]
        turns += [partial(self._receive, each, one) for each in one.receipts]

        async def client(nth: int) -> None:
            for turn in turns[nth::_CLIENTS]:
                await turn()

        async with asyncio.TaskGroup() as clients:
            for nth in range(_CLIENTS):
                clients.create_task(client(nth))

    async def _draw(self, draw: Draw) -> None:
        market = self.town.market
        sme = market.person("sme", draw.invoice.supplier)
        document = {"kind": "receivable", "document_id": market.receivables[draw.invoice.number]}
        asked = {"line_id": market.lines[draw.invoice.supplier], "documents": [document], "principal": cny(draw.minor)}
        offer = await self.journal.ask(sme, "/credit/v1/quotes", asked)
        body = {**asked, "purpose": "wages", "quote_id": offer["quote_id"]}
        await self.journal.send(Command("draw", draw.key, sme, "/credit/v1/drawdowns", body))

    async def _dilute(self, note: Dilution) -> None:
        body = {"amount": cny(note.minor), "reason": "goods came back", "reference": note.key}
        path = f"/receivables/v1/receivables/{self.town.market.receivables[note.invoice.number]}/dilutions"
        await self.journal.send(Command("note", note.key, self.town.market.person("bank_maker"), path, body))

    async def _receive(self, receipt: Receipt, one: Round) -> None:
        drawn = self.journal.commands[receipt.draw].answers[0]
        entry = {
            "entry_id": receipt.key,
            "amount": cny(receipt.minor),
            "direction": "credit",
            "value_date": one.day.isoformat(),
            "reference": json.loads(drawn)["drawdown_id"],
            "end_to_end_id": None,
        }
        body = {"account": ACCOUNT, "entries": [entry]}
        maker = self.town.market.person("bank_maker")
        await self.journal.send(Command("paid", receipt.key, maker, "/settlement/v1/statements", body))

    async def _change_limit(self, one: Round) -> None:
        market = self.town.market
        limit = cny(market.limit_minor * one.limit_share // 100)
        body = {"limit": limit, "upstream_limit": limit, "downstream_limit": cny(0), "reason": f"round {one.nth}"}
        path = f"/onboarding/v1/programmes/{market.programme_id}/limit-changes"
        await self._decide("limit", await self.journal.ask(market.person("bank_maker"), path, body), "onboarding")

    async def _close(self, one: Round) -> None:
        path = f"/settlement/v1/business-days/{one.day}/close"
        proposed = await self.journal.ask(self.town.market.person("bank_maker"), path)
        await self._decide("close", proposed, "settlement")

    async def _decide(self, kind: str, proposed: dict[str, Any], service: str) -> None:
        """Approve a proposal: its id is the key under which it is approved once."""
        path = f"/{service}/v1/approvals/{proposed['approval_id']}/approve"
        checker = self.town.market.person("bank_checker")
        await self.journal.send(Command(kind, proposed["approval_id"], checker, path, None))

    async def _rate(self, one: Round) -> None:
        """Rate a firm as it was rated before: that may come twice, and changes nothing."""
        market = self.town.market
        await self.journal.ask(market.person("risk_officer"), "/risk/v1/ratings", rating(market, one.rated))


@asynccontextmanager
async def playing(folder: Path, rounds: Sequence[Round], report: Report, **given: Any) -> AsyncIterator[Player]:
    """Run a town whose market has the invoices of all rounds, with a player before the first."""
    async with town(folder, **given) as made:
        await invoice(made.market, invoices_of(rounds))
        await quiet(made)
        player = Player(made, report)
        await player.begin()
        yield player


async def undisturbed(folder: Path, rounds: Sequence[Round]) -> list[list[str]]:
    """Play the rounds on a town of one process that nothing happens to; return its state after each."""
    states = []
    async with playing(folder, rounds, Report()) as player:
        for one in rounds:
            await player.play(one)
            states.append(await state_of(player.town))
    return states
