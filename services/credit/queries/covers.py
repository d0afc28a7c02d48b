"""Collateral and guarantees: what each carries today, and which loan it secures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.credit.domain.covers import Allocation, Need, allocate, lending_values
from services.credit.domain.paths import stored_path
from services.credit.domain.support import on_cover
from services.credit.operations.cover_policies import haircuts
from services.credit.operations.cover_rows import cover_of
from services.credit.operations.covers import UnknownCover
from services.credit.operations.line_terms import LineTerms, read_lines
from shared.storage.database import Database, Transaction
from shared.storage.paging import page
from shared.values.money import Money
from shared.values.rates import share_of

_TODAY = "SELECT coalesce((SELECT open_date FROM book), current_date)"
_COVERS = """
SELECT * FROM cover WHERE cover_id > $1 AND ($2::text IS NULL OR enterprise_id = $2) ORDER BY cover_id LIMIT $3
"""
# Charges on an asset share it, whosever loans they secure.
_OF_FIRM = """
SELECT * FROM cover WHERE state = 'registered' AND currency = $2 AND asset IN (
    SELECT asset FROM cover WHERE enterprise_id = $1 AND currency = $2 AND state = 'registered')
ORDER BY cover_id
"""
LOANS = """
SELECT w.enterprise_id, w.obligor_id, w.drawdown_id, w.line_id, w.product, w.documents, w.path,
    CASE w.state WHEN 'utilised' THEN w.used_minor ELSE w.exposure_minor END AS open_minor,
    (SELECT coalesce(array_agg(coalesce(d.eligible_minor, 0) ORDER BY u.document_id), '{}') FROM document_use u
        JOIN document d USING (document_id) WHERE u.drawdown_id = w.drawdown_id) AS eligible
FROM unnest($1::text[]) AS f(enterprise_id) CROSS JOIN LATERAL (
    SELECT * FROM drawdown WHERE enterprise_id = f.enterprise_id AND currency = $2 AND form = 'loan'
        AND state IN ('held', 'referred', 'approved', 'cancelling', 'utilised')) AS w
ORDER BY w.drawdown_id
"""


async def covers(database: Database, *, enterprise_id: str | None, after: str, limit: int) -> dict[str, Any]:
    """Return a page of covers, oldest first."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_COVERS, after, enterprise_id, limit + 1)
    return page([_wire(row) for row in rows], limit=limit, key=lambda each: str(each["cover_id"]))


async def cover(database: Database, *, cover_id: str) -> dict[str, Any]:
    """Return one cover; UnknownCover when there is none."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM cover WHERE cover_id = $1", cover_id)
    if row is None:
        raise UnknownCover(cover_id=cover_id)
    return _wire(row)


async def covers_of(tx: Transaction, drawdown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return which covers secure a drawdown, and how much each; nothing is read where none was taken."""
    if not on_cover(stored_path(drawdown["path"]), drawdown["exposure_minor"]):
        return []
    today, firm, currency = await tx.pg.fetchval(_TODAY), drawdown["enterprise_id"], drawdown["currency"]
    rows = await tx.pg.fetch(_OF_FIRM, firm, currency)
    values = lending_values([cover_of(row) for row in rows], haircuts(on=today), on=today)
    own = [cover_of(row) for row in rows if row["enterprise_id"] == firm]
    given = allocate(own, values, [_need(loan) for loan in await tx.pg.fetch(LOANS, [firm], currency)])
    return _parts(given, drawdown["drawdown_id"], currency)


async def cover_of_firm(database: Database, *, enterprise_id: str, currency: str) -> dict[str, Any]:
    """Return what a firm's covers carry today, loan by loan, and what is left for each line."""
    async with database.snapshot() as tx:
        today: date = await tx.pg.fetchval(_TODAY)
        rows = await tx.pg.fetch(_OF_FIRM, enterprise_id, currency)
        loans = await tx.pg.fetch(LOANS, [enterprise_id], currency)
        lines = await _lines(tx, enterprise_id, currency)
    policy = haircuts(on=today)
    values = lending_values([cover_of(row) for row in rows], policy, on=today)
    own = [cover_of(row) for row in rows if (row["enterprise_id"], row["currency"]) == (enterprise_id, currency)]
    bases = {loan["drawdown_id"]: base_of(loan, lines[loan["line_id"]]) for loan in loans}
    given = allocate(own, values, [_need(loan) for loan in loans])

    def money(minor: int) -> dict[str, str]:
        return Money(minor, currency).wire()

    return {
        "enterprise_id": enterprise_id,
        "as_of": today.isoformat(),
        "policy_version": policy.version,
        "covers": [
            {
                "cover_id": each.cover_id,
                "kind": each.kind,
                "lending_value": money(values[each.cover_id]),
                "left": money(given.left[each.cover_id]),
            }
            for each in own
        ],
        "drawdowns": [_loan(loan, bases[loan["drawdown_id"]], given, currency) for loan in loans],
        "lines": [
            {"line_id": line_id, "unused_support": money(given.support(own, line_ids=[line_id]))}
            for line_id in sorted(lines)
        ],
    }


async def _lines(tx: Transaction, enterprise_id: str, currency: str) -> dict[str, LineTerms]:
    rows = await tx.pg.fetch(
        "SELECT line_id FROM line JOIN programme USING (programme_id) WHERE enterprise_id = $1 AND currency = $2",
        *(enterprise_id, currency),
    )
    found, _ = await read_lines(tx, line_ids=[row["line_id"] for row in rows])
    return found


def _need(loan: Mapping[str, Any]) -> Need:
    """Return what a loan took of cover when it was drawn, as far as it is open: its documents' dilution takes none."""
    return Need(loan["drawdown_id"], loan["line_id"], on_cover(stored_path(loan["path"]), loan["open_minor"]))


def base_of(loan: Mapping[str, Any], line: LineTerms) -> int:
    """Return what the loan's documents carry today: each eligible amount by the advance rate of its product."""
    products = {each.product.name: each.advance_rate for each in line.terms}
    rate = products.get(loan["product"], line.usual.advance_rate)
    return sum(share_of(amount=minor, millionths=rate) for minor in loan["eligible"])


def _loan(loan: Mapping[str, Any], base: int, given: Allocation, currency: str) -> dict[str, Any]:
    covered = given.of_loan(loan["drawdown_id"])
    on_documents = min(base, loan["open_minor"])
    return {
        "drawdown_id": loan["drawdown_id"],
        "line_id": loan["line_id"],
        "open": Money(loan["open_minor"], currency).wire(),
        "on_documents": Money(on_documents, currency).wire(),
        "covers": _parts(given, loan["drawdown_id"], currency),
        "on_cover": Money(covered, currency).wire(),
        "uncovered": Money(max(0, loan["open_minor"] - on_documents - covered), currency).wire(),
    }


def _parts(given: Allocation, drawdown_id: str, currency: str) -> list[dict[str, Any]]:
    return [
        {"cover_id": cover_id, "amount": Money(minor, currency).wire()}
        for cover_id, minor in sorted(given.secured.get(drawdown_id, {}).items())
    ]


def _wire(row: Mapping[str, Any]) -> dict[str, Any]:
    valued = row["valued_date"] is not None

    def amount(name: str) -> dict[str, str]:
        return Money(row[name], row["currency"]).wire()

    return {
        "cover_id": row["cover_id"],
        "enterprise_id": row["enterprise_id"],
        "provider_id": row["provider_id"],
        "kind": row["kind"],
        "asset": row["asset"],
        "description": row["description"],
        "state": row["state"],
        "secured": amount("secured_minor"),
        "rank": row["rank"],
        "line_ids": row["line_ids"],
        "valid_until": row["valid_until"],
        "value": amount("value_minor") if valued else None,
        "prior_charges": amount("prior_minor") if valued else None,
        "valued_date": row["valued_date"],
        "valuer": row["valuer"],
        "registry_reference": row["registry_reference"],
    }
