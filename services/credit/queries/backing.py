"""Whom a change of a cover, a guarantor or a pair's limit reaches: firms, programmes, and what is open between."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from services.credit.domain.limits import Node
from services.credit.domain.paths import pair_node
from services.credit.domain.what_if import Change, Covered, Failed, PairLimited
from shared.storage.database import Transaction

# Charges on an asset share it: one that changes changes what the others carry.
SHARING = """
SELECT c.cover_id, c.currency, o.enterprise_id FROM cover c JOIN cover o USING (asset, currency)
WHERE c.cover_id = ANY($1) AND c.state = 'registered' AND o.state = 'registered'
"""
GUARANTEED = """
SELECT provider_id, currency, enterprise_id FROM cover
WHERE provider_id = ANY($1) AND state = 'registered' AND kind = 'guarantee'
"""
_THEIR_PROGRAMMES = """
SELECT DISTINCT l.programme_id FROM unnest($1::text[], $2::text[]) AS f(enterprise_id, currency)
JOIN line l USING (enterprise_id) JOIN programme p ON p.programme_id = l.programme_id AND p.currency = f.currency
"""
_BETWEEN = """
SELECT DISTINCT l.programme_id FROM line l JOIN programme p USING (programme_id) WHERE p.currency = $3
    AND (l.direction, l.enterprise_id, p.anchor_id) IN (('upstream', $1, $2), ('downstream', $2, $1))
"""
# What a pair's first limit would bring onto its node: see operations/bring_in.py.
_OPEN_BETWEEN = """
SELECT coalesce(sum(w.exposure_minor) FILTER (WHERE w.state <> 'utilised'), 0)::bigint AS held,
    coalesce(sum(w.used_minor), 0)::bigint AS used
FROM line l JOIN programme p USING (programme_id) JOIN drawdown w ON w.line_id = l.line_id
WHERE p.currency = $3 AND w.documents <> '[]'
    AND (l.direction, l.enterprise_id, p.anchor_id) IN (('upstream', $1, $2), ('downstream', $2, $1))
    AND w.state IN ('held', 'referred', 'approved', 'cancelling', 'utilised')
"""
_KNOWN = "SELECT node_id, sanctioned_minor, held_minor, utilised_minor FROM limit_node_now WHERE node_id = $1"
_NO_LIMIT = 2**62
NO_COVER = "it is no registered cover"


@dataclass(frozen=True)
class Backing:
    """Firms by the cover that shares an asset with theirs, and by who guarantees for them; both with a currency.

    `pairs` are the nodes of pairs whose limit is supposed, by their id: as they stand, or as a first limit finds them.
    """

    sharing: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    guaranteed: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    pairs: Mapping[str, Node] = field(default_factory=dict)

    def knows(self, cover_id: str) -> bool:
        """Return whether a cover is registered."""
        return any(name == cover_id for name, _ in self.sharing)

    def firms(self, currency: str) -> frozenset[str]:
        """Return every firm of which a cover may change."""
        both = (*self.sharing.items(), *self.guaranteed.items())
        return frozenset().union(*(firms for (_, each), firms in both if each == currency))


async def read_backing(tx: Transaction, changes: Iterable[tuple[int, Change]]) -> Backing:
    """Return whom the changes reach by way of covers and pairs; at no cost where there are none of these."""
    said = [each for _, each in changes]
    covers = sorted({each.cover_id for each in said if isinstance(each, Covered)})
    failed = sorted({each.firm_id for each in said if isinstance(each, Failed)})
    sharing = await tx.pg.fetch(SHARING, covers) if covers else []
    guaranteed = await tx.pg.fetch(GUARANTEED, failed) if failed else []
    pairs = {}
    for each in said:
        if isinstance(each, PairLimited):
            node = await _pair(tx, each)
            pairs[node.node_id] = node
    return Backing(_grouped(sharing), _grouped(guaranteed), pairs)


async def reached(tx: Transaction, changes: Iterable[tuple[int, Change]], backing: Backing) -> set[str]:
    """Return the programmes in which a firm with such a cover has a line, and those between the firms of a pair."""
    both = (*backing.sharing.items(), *backing.guaranteed.items())
    firms = sorted({(firm, currency) for (_, currency), those in both for firm in those})
    found: set[str] = set()
    if firms:
        rows = await tx.pg.fetch(_THEIR_PROGRAMMES, *(list(column) for column in zip(*firms, strict=True)))
        found |= {row["programme_id"] for row in rows}
    for _, each in changes:
        if isinstance(each, PairLimited):
            rows = await tx.pg.fetch(_BETWEEN, each.seller_id, each.obligor_id, each.limit.currency)
            found |= {row["programme_id"] for row in rows}
    return found


async def _pair(tx: Transaction, change: PairLimited) -> Node:
    seller, obligor, currency = change.seller_id, change.obligor_id, change.limit.currency
    node_id = pair_node(seller_id=seller, obligor_id=obligor, currency=currency)
    row = await tx.pg.fetchrow(_KNOWN, node_id)
    if row is not None:
        return Node(*row)
    (between,) = await tx.pg.fetch(_OPEN_BETWEEN, seller, obligor, currency)
    return Node(node_id, _NO_LIMIT, between["held"], between["used"])


def _grouped(rows: Collection[Mapping[str, str]]) -> dict[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for key, currency, firm in rows:
        found.setdefault((key, currency), set()).add(firm)
    return {key: frozenset(firms) for key, firms in found.items()}
