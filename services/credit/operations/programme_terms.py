"""A programme's terms as they are in force on the open business date: with the increases that are valid on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction
from shared.values.money import Amount

_IN_FORCE = """
SELECT programme_id, sum(limit_minor)::bigint AS limit, sum(upstream_minor)::bigint AS upstream_limit,
    sum(downstream_minor)::bigint AS downstream_limit
FROM limit_increase
WHERE programme_id = ANY($1)
    AND coalesce((SELECT open_date FROM book), current_date) BETWEEN valid_from AND valid_until
GROUP BY programme_id
"""


async def terms_in_force(tx: Transaction, programmes: Sequence[Mapping[str, Any]]) -> dict[str, ProgrammeTerms]:
    """Return the terms of programmes, by id: what was agreed, and what is added to the limits just now.

    A sub-limit may be above the limit for a while: the limit binds.
    """
    agreed = {row["programme_id"]: ProgrammeTerms.model_validate(row["terms"]) for row in programmes}
    rows = await tx.pg.fetch(_IN_FORCE, list(agreed))
    return agreed | {row["programme_id"]: _increased(agreed[row["programme_id"]], row) for row in rows}


def _increased(terms: ProgrammeTerms, more: Mapping[str, Any]) -> ProgrammeTerms:
    def added(amount: Amount, name: str) -> Amount:
        return Amount.of(amount_minor=amount.minor + more[name], currency=terms.currency)

    limits = {name: added(getattr(terms, name), name) for name in ("limit", "upstream_limit", "downstream_limit")}
    return terms.model_copy(update=limits)
