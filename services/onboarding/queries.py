"""What onboarding's API reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.onboarding.operations.enterprises import UnknownEnterprise
from services.onboarding.operations.programmes import UnknownProgramme
from shared.storage.database import Database
from shared.storage.paging import page
from shared.values.money import Money

_ENTERPRISE = """
SELECT e.*, coalesce((SELECT jsonb_object_agg(l.scheme, l.identifier) FROM legal_identifier l
    WHERE l.enterprise_id = e.enterprise_id), '{}') AS legal_identifiers
FROM enterprise e
"""


async def enterprise(database: Database, *, enterprise_id: str) -> dict[str, Any]:
    """Return one firm; UnknownEnterprise when there is none."""
    async with database.reader() as tx:
        row = await tx.pg.fetchrow(f"{_ENTERPRISE} WHERE e.enterprise_id = $1", enterprise_id)
    if row is None:
        raise UnknownEnterprise(enterprise_id=enterprise_id)
    return dict(row)


async def enterprises(database: Database, *, after: str, limit: int) -> dict[str, Any]:
    """Return a page of firms, in the order of their registration."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(
            f"{_ENTERPRISE} WHERE e.enterprise_id > $1 ORDER BY e.enterprise_id LIMIT $2", after, limit + 1
        )
    return page([dict(row) for row in rows], limit=limit, key=lambda row: row["enterprise_id"])


async def programme(database: Database, *, programme_id: str) -> dict[str, Any]:
    """Return one programme with its members; UnknownProgramme when there is none."""
    async with database.snapshot() as tx:
        row = await tx.pg.fetchrow("SELECT * FROM programme WHERE programme_id = $1", programme_id)
        members = await tx.pg.fetch(
            """SELECT m.enterprise_id, m.direction, m.anchor_support, a.signed_date, a.expiry_date
            FROM member m LEFT JOIN line_agreement a USING (programme_id, enterprise_id)
            WHERE m.programme_id = $1 ORDER BY m.enterprise_id""",
            programme_id,
        )
        increases = await tx.pg.fetch(
            """SELECT increase_id, limit_minor, upstream_minor, downstream_minor, valid_from, valid_until
            FROM limit_increase WHERE programme_id = $1 ORDER BY valid_from, increase_id""",
            programme_id,
        )
    if row is None:
        raise UnknownProgramme(programme_id=programme_id)
    currency = row["terms"]["currency"]
    return {
        **dict(row),
        "members": [dict(member) for member in members],
        "limit_increases": [_increase(each, currency) for each in increases],
    }


def _increase(row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    return {
        "increase_id": row["increase_id"],
        "limit": Money(row["limit_minor"], currency).wire(),
        "upstream_limit": Money(row["upstream_minor"], currency).wire(),
        "downstream_limit": Money(row["downstream_minor"], currency).wire(),
        "valid_from": row["valid_from"],
        "valid_until": row["valid_until"],
    }
