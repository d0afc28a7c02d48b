"""Netting as settlement's API reads it; a party sees its own legs and the totals, nobody else's debts (R23)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from services.settlement.domain.proposals import UnknownNetting
from shared.storage.database import Database, Transaction
from shared.storage.paging import page
from shared.values.money import Money

_NETTING = """
SELECT n.netting_id, n.run_id, n.currency, n.cleared_minor, n.accept_by, n.state, n.code, n.reason, n.posting_date,
    (SELECT count(*) FROM netting_party p WHERE p.netting_id = n.netting_id) AS parties,
    (SELECT count(*) FROM netting_party p WHERE p.netting_id = n.netting_id AND accepted_at IS NOT NULL) AS accepted,
    (SELECT count(*) FROM netting_leg l WHERE l.netting_id = n.netting_id) AS legs
FROM netting n
"""
ALL_NETTINGS = f"{_NETTING} WHERE n.netting_id > $1 ORDER BY n.netting_id LIMIT $2"
OWN_NETTINGS = f"""
{_NETTING} WHERE n.netting_id IN (SELECT netting_id FROM netting_party WHERE enterprise_id = $3 AND netting_id > $1
    ORDER BY netting_id LIMIT $2) ORDER BY n.netting_id
"""  # noqa: S608 - constants only
LEGS = """
SELECT l.receivable_id, l.debtor_id, l.creditor_id, l.amount_minor, o.number, o.due_date
FROM netting_leg l JOIN obligation o USING (receivable_id)
WHERE l.netting_id = $1 AND ($2::text IS NULL OR $2 IN (l.debtor_id, l.creditor_id)) ORDER BY l.receivable_id
"""
_OBLIGATION = """
SELECT o.receivable_id, o.debtor_id, o.creditor_id, o.number, o.currency, o.open_minor, o.due_date, o.agreed,
    o.vouchered, o.disputed, o.ended,
    EXISTS (SELECT FROM obligation_use u WHERE u.receivable_id = o.receivable_id) AS assigned
FROM obligation o
"""
_PAGE = "o.receivable_id > $1 AND o.currency IS NOT NULL ORDER BY o.receivable_id LIMIT $2"
ALL_OBLIGATIONS = f"{_OBLIGATION} WHERE {_PAGE}"
# Two index scans of one page each, then one page of both.
OWN_OBLIGATIONS = (
    f"SELECT * FROM (({_OBLIGATION} WHERE o.creditor_id = $3 AND {_PAGE}) UNION ALL "  # noqa: S608 - constants only
    f"({_OBLIGATION} WHERE o.debtor_id = $3 AND {_PAGE})) own ORDER BY receivable_id LIMIT $2"
)


class UnknownRun(LookupError):
    """No netting run has this id."""

    code: ClassVar[str] = "unknown_netting_run"

    def __init__(self, *, run_id: str) -> None:
        """Keep the id asked for."""
        self.run_id = run_id
        super().__init__(f"There is no netting run {run_id}.")


async def obligations(database: Database, *, party: str | None, after: str, limit: int) -> dict[str, Any]:
    """Return a page of debts and whether each could be netted; a party's own when one asks."""
    own = () if party is None else (party,)
    async with database.reader() as tx:
        rows = await tx.pg.fetch(ALL_OBLIGATIONS if party is None else OWN_OBLIGATIONS, after, limit + 1, *own)
    found = [_obligation(row, party=party) for row in rows]
    return page(found, limit=limit, key=lambda each: str(each["receivable_id"]))


async def nettings(database: Database, *, party: str | None, after: str, limit: int) -> dict[str, Any]:
    """Return a page of proposals and what became of them; those of a party when one asks."""
    own = () if party is None else (party,)
    async with database.snapshot() as tx:
        rows = await tx.pg.fetch(ALL_NETTINGS if party is None else OWN_NETTINGS, after, limit + 1, *own)
    return page([_netting(row) for row in rows], limit=limit, key=lambda each: str(each["netting_id"]))


async def netting(database: Database, *, netting_id: str, party: str | None) -> dict[str, Any]:
    """Return a proposal with its legs: to a party its own and its answer, to the bank all; UnknownNetting otherwise."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow(f"{_NETTING} WHERE n.netting_id = $1", netting_id)
        parties = await tx.pg.fetch(
            """SELECT enterprise_id, accepted_at FROM netting_party WHERE netting_id = $1
            AND ($2::text IS NULL OR enterprise_id = $2) ORDER BY enterprise_id""",
            *(netting_id, party),
        )
        legs = await tx.pg.fetch(LEGS, netting_id, party)
        cycles = await _cycles(tx, netting_id) if party is None else None
    if row is None or not parties:
        raise UnknownNetting(netting_id=netting_id)
    currency = row["currency"]
    found = {**_netting(row), "own_legs" if party else "all_legs": [_leg(leg, currency) for leg in legs]}
    if party is not None:
        return {**found, "accepted_at": parties[0]["accepted_at"], "falls": _falls(legs, currency, party)}
    answers = [{"enterprise_id": each["enterprise_id"], "accepted_at": each["accepted_at"]} for each in parties]
    rounds = [
        {"amount": Money(each["amount_minor"], currency).wire(), "receivable_ids": each["receivable_ids"]}
        for each in cycles or []
    ]
    return {**found, "answers": answers, "rounds": rounds}


async def netting_run(database: Database, *, run_id: str) -> dict[str, Any]:
    """Return what a run found, for the bank; UnknownRun when there is none."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM netting_run WHERE run_id = $1", run_id)
        ids = await tx.pg.fetch("SELECT netting_id FROM netting WHERE run_id = $1 ORDER BY netting_id", run_id)
    if row is None:
        raise UnknownRun(run_id=run_id)
    plain = ("run_id", "currency", "firms", "debts", "policy_version", "ran_by", "ran_at")
    return {
        **{name: row[name] for name in plain},
        "owed": Money(row["owed_minor"], row["currency"]).wire(),
        "cleared": Money(row["cleared_minor"], row["currency"]).wire(),
        "cash_for_all": Money(row["cash_for_all_minor"], row["currency"]).wire(),
        "with_cash": row["cash"],
        "netting_ids": [each["netting_id"] for each in ids],
    }


async def _cycles(tx: Transaction, netting_id: str) -> list[Any]:
    rows: list[Any] = await tx.pg.fetch(
        "SELECT amount_minor, receivable_ids FROM netting_cycle WHERE netting_id = $1 ORDER BY nth", netting_id
    )
    return rows


def _netting(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("netting_id", "run_id", "state", "code", "reason", "accept_by", "posting_date")
    return {
        **{name: row[name] for name in plain},
        "cleared": Money(row["cleared_minor"], row["currency"]).wire(),
        **{name: row[name] for name in ("parties", "accepted", "legs")},
    }


def _leg(row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    plain = ("receivable_id", "debtor_id", "creditor_id", "number", "due_date")
    return {**{name: row[name] for name in plain}, "amount": Money(row["amount_minor"], currency).wire()}


def _falls(legs: list[Any], currency: str, party: str) -> dict[str, str]:
    """Return by how much the party owes less, which is by how much it is owed less (R14)."""
    return Money(sum(leg["amount_minor"] for leg in legs if leg["debtor_id"] == party), currency).wire()


def _obligation(row: Mapping[str, Any], *, party: str | None) -> dict[str, Any]:
    plain = ("receivable_id", "debtor_id", "creditor_id", "number", "due_date", "agreed", "disputed", "ended")
    bound = row["vouchered"] or row["assigned"]
    is_free = row["agreed"] and not (row["disputed"] or row["ended"] or bound) and row["open_minor"] > 0
    found = {**{name: row[name] for name in plain}, "owed": Money(row["open_minor"], row["currency"]).wire()}
    # What its creditor has drawn on a debt is not the debtor's business; that it is assigned, it was told.
    return {**found, "is_free": is_free} | (
        {"vouchered": row["vouchered"], "assigned": row["assigned"]} if party is None else {}
    )
