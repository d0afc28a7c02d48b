"""How much debt of 10,000 firms a netting clears, how much cash it saves, and how long that takes.

The set-off runs in turn with what one does without a solver, going from debt to debt until no round closes; the figure
is the rounds' median on the first network. A run through the API then reads, nets and proposes the same debts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import httpx

from services.settlement.consumers import HANDLERS
from services.settlement.domain.netting import Cash, Debt, cash_to_clear_all, clear
from shared.events.envelope import Event, Received
from shared.events.receivables import ReceivableAcknowledged, ReceivableRegistered
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.values.ids import new_id
from shared.values.money import Amount
from tributary.bench.debt_networks import NETWORKS, best_by_trying, bilateral, greedy, small_networks
from tributary.bench.machine import machine
from tributary.demo.people import people_of
from tributary.platform import running_platform

_FIRMS, _DEBTS, _ROUNDS, _SMALL, _BATCH = 10_000, 60_000, 3, 100, 5_000
_OPENING = "2026-01-05"


async def measure(home: Path) -> dict[str, Any]:
    """Return seconds, debt cleared and cash saved of each network, beside the greedy way; and a run through the API."""
    networks = {name: await asyncio.to_thread(_measure, make(_FIRMS, _DEBTS)) for name, make in NETWORKS.items()}
    first = networks[next(iter(networks))]
    small = await asyncio.to_thread(_small)
    return {
        "figure": "netting",
        "value": first["seconds"],
        "unit": f"s to find and prove the set-off that clears most of {_DEBTS:,} debts among {_FIRMS:,} firms",
        "baseline": first["greedy_seconds"],
        "baseline_name": "greedy: from debt to debt, taking each round that closes, until none is left",
        "ratio": round(first["seconds"] / first["greedy_seconds"], 2),
        "machine": machine(),
        "networks": networks,
        "small": small,
        **await _through_the_api(home, NETWORKS[next(iter(NETWORKS))](_FIRMS, _DEBTS)),
    }


def _measure(debts: Sequence[Debt]) -> dict[str, Any]:
    owed = sum(each.open_minor for each in debts)
    ours, others, cleared, taken = [], [], 0, 0
    for _ in range(_ROUNDS):
        began = perf_counter()
        cleared = clear(debts).cleared_minor
        ours.append(perf_counter() - began)
        began = perf_counter()
        taken = greedy(debts)
        others.append(perf_counter() - began)
    needed = cash_to_clear_all(debts)
    began = perf_counter()
    tenth = clear(debts, cash=Cash(needed // 10))
    with_cash_s = perf_counter() - began
    return {
        "debts": len(debts),
        "owed_minor": owed,
        "seconds": round(median(ours), 3),
        "greedy_seconds": round(median(others), 3),
        "cleared_share": round(cleared / owed, 4),
        "greedy_cleared_share": round(taken / owed, 4),
        "bilateral_cleared_share": round(bilateral(debts) / owed, 4),
        # Without netting each debt is paid by its debtor's own money; with it only what net debtors lack is.
        "cash_without_minor": owed,
        "cash_after_set_off_minor": owed - cleared,
        "cash_to_clear_all_minor": needed,
        "cash_saved_share": round(1 - needed / owed, 4),
        "with_a_tenth_of_that_cash": {
            "cleared_share": round(tenth.cleared_minor / owed, 4),
            "cleared_a_unit_of_cash": round((tenth.cleared_minor - cleared) / max(1, tenth.cash_minor), 2),
            "seconds": round(with_cash_s, 3),
        },
        "rounds": [round(seconds, 3) for seconds in ours],
        "greedy_rounds": [round(seconds, 3) for seconds in others],
    }


def _small() -> dict[str, int]:
    """Return how many small networks came out as trying everything shows."""
    cases = small_networks(_SMALL)
    return {"cases": len(cases), "equal": sum(clear(each).cleared_minor == best_by_trying(each) for each in cases)}


async def _through_the_api(home: Path, debts: Sequence[Debt]) -> dict[str, Any]:
    """Tell settlement of the debts as its inbox would, then run a netting over all of them through its API."""
    settings = Settings().model_copy(update={"home": home, "port": 0})
    async with (
        running_platform(settings, processes=True) as platform,
        httpx.AsyncClient(base_url=platform.origin, timeout=120) as http,
    ):
        people = await people_of(http, home=home)
        maker = await people.bank("maker", "bank_maker")
        await maker.post("/settlement/v1/book", {"opening_date": _OPENING})
        settlement = Database(platform.settings.database("settlement"), pool_size=1)
        try:
            began = perf_counter()
            for start in range(0, len(debts), _BATCH):
                await _hear(settlement, debts[start : start + _BATCH])
            heard_s = perf_counter() - began
            began = perf_counter()
            found = await maker.command("/settlement/v1/netting/runs", {"currency": "CNY"})
            run_s = perf_counter() - began
        finally:
            await settlement.close()
    return {
        "run_through_the_api_s": round(run_s, 2),
        "debts_heard_a_second": round(len(debts) / heard_s),
        "proposals": len(found["netting_ids"]),
    }


async def _hear(database: Database, debts: Sequence[Debt]) -> None:
    """Tell settlement that debts were registered and acknowledged by both."""
    registered: list[Event] = []
    acknowledged: list[Event] = []
    for each in debts:
        receivable_id, owed = new_id(), Amount.of(amount_minor=each.open_minor, currency="CNY")
        registered.append(
            ReceivableRegistered(
                receivable_id=receivable_id,
                seller_id=each.creditor_id,
                obligor_id=each.debtor_id,
                number=each.obligation_id,
                document_type="380",
                syntax="declared",
                issue_date=each.due_date,
                due_date=each.due_date,
                payable=owed,
                state="validated",
                reasons=[],
            )
        )
        acknowledged.append(
            ReceivableAcknowledged(
                receivable_id=receivable_id,
                seller_id=each.creditor_id,
                obligor_id=each.debtor_id,
                owed=owed,
                due_date=each.due_date,
            )
        )
    at = datetime.now(UTC)
    async with database.transaction() as tx:
        for facts in (registered, acknowledged):
            said = [
                Received(new_id(), each.type, each.topic, each.subject, 1, at, "bench", None, each) for each in facts
            ]
            await HANDLERS[type(facts[0])](tx, said)
