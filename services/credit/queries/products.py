"""What a line offers, and what a drawdown may be for."""

from __future__ import annotations

from typing import Any

from services.credit.domain.offers import Terms
from services.credit.operations.line_terms import line_terms
from services.credit.operations.purposes import purpose_rules
from shared.storage.database import Database
from shared.values.money import Money
from shared.values.policies import policy_on
from shared.values.rates import rate_text

_FIRM = """
SELECT l.enterprise_id, coalesce(e.industry, '') AS industry, coalesce(e.size_class, '') AS size_class
FROM line l LEFT JOIN enterprise e USING (enterprise_id) WHERE l.line_id = $1
"""


async def line_products(database: Database, *, line_id: str) -> dict[str, Any]:
    """Return a line's products, in the order in which they are taken; UnknownLine when there is no such line."""
    async with database.snapshot() as tx:
        line = await line_terms(tx, line_id=line_id)
        firm = await tx.pg.fetchrow(_FIRM, line_id)
    industry, size_class = (firm["industry"], firm["size_class"]) if firm else ("", "")
    offered = line.terms if line.products else ()
    items = [_product(each, industry=industry, size_class=size_class) for each in offered]
    return {"line_id": line_id, "enterprise_id": line.usual.drawer.enterprise_id, "items": items}


async def purposes(database: Database) -> dict[str, Any]:
    """Return the purpose codes in force, with their labels, and from which amount on a loan pays a named payee."""
    async with database.reader() as tx:
        today = await tx.pg.fetchval("SELECT coalesce((SELECT open_date FROM book), current_date)")
    rules = purpose_rules(on=today)
    codes = policy_on("purposes", on=today).values["codes"]
    return {
        "policy_version": rules.version,
        "items": [{"code": code, "en": labels["en"], "zh": labels["zh"]} for code, labels in codes.items()],
        "entrusted_above": [Money(minor, currency).wire() for currency, minor in rules.entrusted_above.items()],
    }


def _product(terms: Terms, *, industry: str, size_class: str) -> dict[str, Any]:
    product, currency = terms.product, terms.drawer.currency
    quota = product.quota(currency=currency, industry=industry, size_class=size_class)
    return {
        "product": product.name,
        "version": product.version,
        "documents": sorted(product.documents),
        "form": terms.form,
        "recourse": terms.recourse,
        "advance_rate": rate_text(terms.advance_rate),
        "shortest_days": product.shortest_days,
        "longest_days": terms.drawer.max_tenor_days,
        "payee": product.payee,
        "interest_payer": terms.interest_payer,
        "revolving": product.revolving,
        "cover": product.cover,
        "quota": None if quota is None else Money(quota, currency).wire(),
    }
