"""Run a netting over the debts that are free, and propose what it finds to the parties (R14)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from services.settlement.domain.netting import Cash, Debt
from services.settlement.domain.proposals import Bundle, Run, quote, run
from services.settlement.operations.book import SOURCE, open_day
from services.settlement.operations.obligations import FREE, NOT_BARRED
from shared.events.settlement import NettingProposed
from shared.messaging.outbox import append
from shared.runtime.clock import database_now
from shared.runtime.offload import offload
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.storage.idempotency import Answer, IdempotencyConflict, Key, claim, complete
from shared.values.ids import new_id
from shared.values.money import Amount, Money, minor_digits
from shared.values.policies import Policy, policy_on

# What open proposals have promised already is not there twice.
DEBTS = f"""
SELECT o.receivable_id, o.debtor_id, o.creditor_id, o.due_date, o.open_minor - coalesce(p.promised, 0) AS left
FROM obligation o LEFT JOIN (
    SELECT l.receivable_id, sum(l.amount_minor)::bigint AS promised FROM netting n JOIN netting_leg l USING (netting_id)
    WHERE n.state IN ('proposed', 'accepted') GROUP BY l.receivable_id) p USING (receivable_id)
WHERE o.currency = $1 AND {FREE} AND {NOT_BARRED} AND o.open_minor > coalesce(p.promised, 0)
    AND ($2::text[] IS NULL OR (o.debtor_id = ANY($2) AND o.creditor_id = ANY($2)))
"""  # noqa: S608 - constants only
_LOCK = "SELECT FROM obligation WHERE receivable_id = ANY($1) ORDER BY receivable_id FOR SHARE"
_RUN = """
INSERT INTO netting_run (run_id, currency, firms, debts, owed_minor, cleared_minor, cash_for_all_minor, cash,
    policy_version, ran_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_NETTING = """
INSERT INTO netting (netting_id, run_id, currency, cleared_minor, accept_by)
SELECT netting_id, $3, $4, cleared, $5 FROM unnest($1::text[], $2::bigint[]) AS n(netting_id, cleared)
"""
_LEGS = """
INSERT INTO netting_leg (netting_id, receivable_id, debtor_id, creditor_id, amount_minor)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
"""
_CYCLES = """
INSERT INTO netting_cycle (netting_id, nth, amount_minor, receivable_ids)
SELECT netting_id, nth, minor, string_to_array(ids, ' ')
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[]) AS c(netting_id, nth, minor, ids)
"""
_PARTIES = "INSERT INTO netting_party (netting_id, enterprise_id) SELECT * FROM unnest($1::text[], $2::text[])"


class DebtsMoved(Exception):
    """Debts changed while the run was computed: nothing was proposed; run again."""

    code: ClassVar[str] = "debts_moved"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("Debts changed while they were being netted; nothing was proposed, run again.")


class TooLongToAccept(ValueError):
    """The policy bounds how long a proposal may wait for its parties."""

    code: ClassVar[str] = "too_long_to_accept"

    def __init__(self, *, at_most_hours: int) -> None:
        """Keep the bound."""
        self.at_most_hours = at_most_hours
        super().__init__(f"A proposal waits for its parties for {at_most_hours} hours at most.")


async def run_netting(
    database: Database,
    *,
    currency: str,
    enterprise_ids: Sequence[str] | None,
    cash: Cash | None,
    accept_hours: int | None,
    key: Key,
    actor: str,
) -> Answer:
    """Net what is free between the named firms, or between all; each bundle of rounds is a proposal of its own.

    With cash, what both would clear is quoted, and nothing more: no money moves. BookNotOpen, UnknownCurrency,
    TooLongToAccept, TooMuchDebt or DebtsMoved otherwise.
    """
    minor_digits(currency)
    named = sorted(set(enterprise_ids)) if enterprise_ids is not None else None
    async with database.transaction() as tx:
        policy = policy_on("netting", on=await open_day(tx))
        hours = accept_hours or policy.values["accept_hours"]
        if hours > policy.values["accept_hours_at_most"]:
            raise TooLongToAccept(at_most_hours=policy.values["accept_hours_at_most"])
        debts = [_debt(row) for row in await tx.pg.fetch(DEBTS, currency, named)]
    found = await offload(run, debts, legs_at_most=policy.values["legs_at_most"], cash=cash)
    async with database.transaction() as tx:
        known = (await claim(tx, keys=[key])).known.get(key.name)
        if isinstance(known, IdempotencyConflict):
            raise known
        if known is not None:
            return known
        await _check_unmoved(tx, found, currency=currency, named=named)
        accept_by = await database_now(tx) + timedelta(hours=hours)
        facts = await _propose(tx, found, debts, currency=currency, policy=policy, accept_by=accept_by, actor=actor)
        answer = Answer(201, json.dumps(facts))
        await complete(tx, answers=[(key, answer)])
    return answer


async def _check_unmoved(tx: Transaction, found: Run, *, currency: str, named: Sequence[str] | None) -> None:
    """Hold the debts until the proposals stand, one run at a time; DebtsMoved when one has less left than it takes."""
    await tx.pg.execute("SELECT pg_advisory_xact_lock(hashtextextended('netting/' || $1, 0))", currency)
    taken: dict[str, int] = {}
    for bundle in found.bundles:
        for receivable_id, minor in bundle.legs.items():
            taken[receivable_id] = taken.get(receivable_id, 0) + minor
    await tx.pg.execute(_LOCK, sorted(taken))
    statement = f"{DEBTS} AND o.receivable_id = ANY($3)"
    left = {row["receivable_id"]: row["left"] for row in await tx.pg.fetch(statement, currency, named, list(taken))}
    if any(left.get(receivable_id, 0) < minor for receivable_id, minor in taken.items()):
        raise DebtsMoved


async def _propose(
    tx: Transaction,
    found: Run,
    debts: Sequence[Debt],
    *,
    currency: str,
    policy: Policy,
    accept_by: datetime,
    actor: str,
) -> dict[str, Any]:
    run_id, wire = new_id(), partial(_wire, currency=currency)
    cash = quote(found.with_cash, wire=wire) if found.with_cash is not None else None
    firms = {firm for each in debts for firm in (each.debtor_id, each.creditor_id)}
    owed = sum(each.open_minor for each in debts)
    await tx.pg.execute(
        _RUN,
        *(run_id, currency, len(firms), len(debts), owed, found.cleared_minor, found.cash_for_all_minor),
        *(json.dumps(cash) if cash is not None else None, policy.version, actor),
    )
    proposed = [(new_id(), bundle) for bundle in found.bundles]
    parties = await _keep(tx, proposed, debts, run_id=run_id, currency=currency, accept_by=accept_by)
    said = [
        NettingProposed(
            netting_id=netting_id,
            cleared=Amount.of(amount_minor=bundle.cleared_minor, currency=currency),
            parties=len(parties[netting_id]),
            legs=len(bundle.legs),
            accept_by=accept_by,
        )
        for netting_id, bundle in proposed
    ]
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry(actor, "netting.run", run_id, {"debts": len(debts), "proposals": len(proposed)})])
    return {
        "run_id": run_id,
        "currency": currency,
        "firms": len(firms),
        "debts": len(debts),
        "owed": wire(owed),
        "cleared": wire(found.cleared_minor),
        "cash_for_all": wire(found.cash_for_all_minor),
        "with_cash": cash,
        "netting_ids": [netting_id for netting_id, _ in proposed],
    }


async def _keep(
    tx: Transaction,
    proposed: Sequence[tuple[str, Bundle]],
    debts: Sequence[Debt],
    *,
    run_id: str,
    currency: str,
    accept_by: datetime,
) -> Mapping[str, list[str]]:
    """Write the proposals, and return the parties of each."""
    by_id = {each.obligation_id: each for each in debts}
    heads = [(netting_id, bundle.cleared_minor) for netting_id, bundle in proposed]
    await tx.pg.execute(_NETTING, *by_column(heads, width=2), run_id, currency, accept_by)
    legs = [
        (netting_id, receivable_id, by_id[receivable_id].debtor_id, by_id[receivable_id].creditor_id, minor)
        for netting_id, bundle in proposed
        for receivable_id, minor in sorted(bundle.legs.items())
    ]
    await tx.pg.execute(_LEGS, *by_column(legs, width=5))
    rounds = [
        (netting_id, nth, cycle.amount_minor, " ".join(cycle.obligation_ids))
        for netting_id, bundle in proposed
        for nth, cycle in enumerate(bundle.cycles, start=1)
    ]
    await tx.pg.execute(_CYCLES, *by_column(rounds, width=4))
    parties: dict[str, list[str]] = {}
    for netting_id, _, debtor_id, _, _ in legs:
        if debtor_id not in parties.setdefault(netting_id, []):
            parties[netting_id].append(debtor_id)
    rows = [(netting_id, firm) for netting_id, firms in parties.items() for firm in sorted(firms)]
    await tx.pg.execute(_PARTIES, *by_column(rows, width=2))
    return parties


def _debt(row: Mapping[str, Any]) -> Debt:
    due: date = row["due_date"]
    return Debt(row["receivable_id"], row["debtor_id"], row["creditor_id"], row["left"], due)


def _wire(minor: int, *, currency: str) -> dict[str, str]:
    return Money(minor, currency).wire()
