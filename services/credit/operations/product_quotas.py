"""What a line may be of a product with a quota of its own: a limit node beneath the line's (DOMAIN §3, §8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any

from services.credit.domain.paths import Level, product_node
from services.credit.domain.products import Product
from services.credit.operations.drawdown_rows import Drawdown
from services.credit.operations.nodes import create_nodes, lock_nodes, note_overuse, sanction
from services.credit.operations.product_policies import (
    drawn_product,
    product_names,
    programme_products,
    versions_of,
)
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction

_LINES = """
SELECT l.line_id, l.direction, coalesce(e.size_class, '') AS size_class, coalesce(e.industry, '') AS industry
FROM line l LEFT JOIN enterprise e USING (enterprise_id) WHERE l.programme_id = $1
"""
_LINES_OF = f"{_LINES} AND l.enterprise_id = ANY($2)"
# What was repaid of a version that does not revolve is not lent again (R11), where a quota of its own carried it.
_REPAID = """
SELECT w.line_id, w.product, sum(r.exposure_minor)::bigint AS repaid FROM line l
JOIN drawdown w USING (line_id) JOIN reinstatement r USING (drawdown_id)
WHERE l.programme_id = $1 AND w.product_version = ANY($2)
    AND w.path @> jsonb_build_array(jsonb_build_array('product/' || w.line_id || '/' || w.product)) GROUP BY 1, 2
"""


async def sanction_quotas(
    tx: Transaction,
    *,
    programme: Mapping[str, Any],
    terms: ProgrammeTerms,
    cause: str,
    firms: Collection[str] | None = None,
) -> None:
    """Sanction the quotas of a programme's lines anew, of all or of some firms'; these nodes come after all above."""
    bounded = bounded_products(terms, on=programme["today"])
    if not bounded:
        return
    if firms is None:
        lines = await tx.pg.fetch(_LINES, programme["programme_id"])
    else:
        lines = await tx.pg.fetch(_LINES_OF, programme["programme_id"], list(firms)) if firms else []
    if not lines:
        return
    repaid = await _repaid(tx, programme["programme_id"], [each.name for each in bounded])
    amounts = {
        product_node(line_id=line["line_id"], product=each.name): max(
            0, _quota(each, line, terms.currency) - repaid.get((line["line_id"], each.name), 0)
        )
        for line in lines
        for each in bounded
        if line["direction"] in each.directions
    }
    await create_nodes(tx, nodes=[(Level.PRODUCT, node_id) for node_id in amounts], currency=terms.currency)
    await lock_nodes(tx, node_ids=amounts)
    await sanction(tx, amounts)
    await note_overuse(tx, node_ids=amounts, cause=cause)


def bounded_products(terms: ProgrammeTerms, *, on: date) -> list[Product]:
    """Return the products of a programme that have a quota of their own."""
    offered = programme_products(names=tuple(terms.products), recourse=terms.recourse, on=on)
    return [each for each in offered if each.quotas]


async def changed_between(tx: Transaction, *, before: date, today: date) -> list[str]:
    """Return the programmes of which a product has a new version since a business date; a quota may be in it."""
    rows = await tx.pg.fetch("SELECT programme_id, terms FROM programme ORDER BY programme_id")
    found = []
    for row in rows:
        terms = ProgrammeTerms.model_validate(row["terms"])
        versions = [
            version for name in product_names(terms.products, recourse=terms.recourse) for version in versions_of(name)
        ]
        if any(before < version.valid_from <= today for version in versions):
            found.append(row["programme_id"])
    return found


async def use_up(tx: Transaction, repaid: Sequence[tuple[Drawdown, int]]) -> None:
    """Lower what is sanctioned of products that do not revolve by the use repaid; a reversal raises it again (R11)."""
    bounded = [(each, used) for each, used in repaid if any(step.level is Level.PRODUCT for step in each.path)]
    if not bounded:
        return
    changes: dict[str, int] = defaultdict(int)
    for drawdown, used in bounded:
        if not drawn_product(version=drawdown.product_version).revolving:
            changes[product_node(line_id=drawdown.line_id, product=drawdown.product)] += used
    await tx.pg.execute(
        """WITH changed AS (
            UPDATE limit_node n SET sanctioned_minor = greatest(0, n.sanctioned_minor - c.used)
            FROM unnest($1::text[], $2::bigint[]) AS c(node_id, used) WHERE n.node_id = c.node_id
            RETURNING n.node_id, n.sanctioned_minor)
        INSERT INTO node_history (node_id, since, sanctioned_minor)
        SELECT node_id, statement_timestamp(), sanctioned_minor FROM changed ON CONFLICT DO NOTHING""",
        list(changes),
        list(changes.values()),
    )


async def _repaid(tx: Transaction, programme_id: str, products: Collection[str]) -> dict[tuple[str, str], int]:
    versions = [each.version.removeprefix("products/") for each in chain(*map(versions_of, products))]
    ending = [version for version in versions if not drawn_product(version=version).revolving]
    if not ending:
        return {}
    rows = await tx.pg.fetch(_REPAID, programme_id, ending)
    return {(row["line_id"], row["product"]): row["repaid"] for row in rows}


def _quota(offered: Product, line: Mapping[str, Any], currency: str) -> int:
    return offered.quota(currency=currency, industry=line["industry"], size_class=line["size_class"]) or 0
