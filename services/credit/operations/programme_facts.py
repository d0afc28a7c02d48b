"""What propagation reads of a programme, and what it makes of it: real facts, or hypothetical ones (what if)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Literal

from services.credit.domain.eligibility import LineState, why_not_drawable
from services.credit.domain.limits import Node
from services.credit.domain.paths import (
    Level,
    direction_node,
    group_node,
    line_node,
    obligor_node,
    programme_node,
    sme_node,
    tier_node,
)
from services.credit.domain.products import Product, in_direction, line_quota
from services.credit.domain.propagation import (
    LineInput,
    Propagation,
    Share,
    line_ceiling,
    line_weight,
    propagate,
)
from services.credit.domain.trade import Reach, reach
from services.credit.operations.product_policies import programme_products
from services.credit.operations.programme_terms import terms_in_force
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction
from shared.values.money import parse_minor
from shared.values.policies import Policy, policy_on
from shared.values.rates import parse_rate, share_of

# Other programmes' lines of the same firms use the firms' room too.
_LINES = """
WITH used AS (
    SELECT o.enterprise_id, sum(n.held_minor + n.utilised_minor)::bigint AS minor FROM line l
    JOIN line o USING (enterprise_id) JOIN limit_node n ON n.node_id = 'line/' || o.line_id AND n.currency = $2
    WHERE l.programme_id = $1 GROUP BY o.enterprise_id)
SELECT l.*, e.active AS sme_active, r.cap_minor AS rating_cap, r.multiplier,
    r.valid_until, e.size_class, e.industry, a.expiry_date, coalesce(a.committed_minor, 0) AS committed,
    coalesce(u.minor, 0) AS sme_used,
    EXISTS (SELECT FROM deficiency d WHERE d.line_id = l.line_id AND d.deficiency_minor > 0) AS deficient,
    EXISTS (SELECT FROM overdue_loan o WHERE o.line_id = l.line_id) AS overdue
FROM line_now l
LEFT JOIN used u USING (enterprise_id)
LEFT JOIN enterprise e USING (enterprise_id)
LEFT JOIN rating r ON r.enterprise_id = l.enterprise_id AND r.currency = $2
LEFT JOIN agreement a ON (a.programme_id, a.enterprise_id) = (l.programme_id, l.enterprise_id)
WHERE l.programme_id = $1 ORDER BY l.line_id
"""


@dataclass(frozen=True, slots=True)
class ComputedLine:
    """A line after propagation."""

    row: Mapping[str, Any]
    reach: Reach | None
    given: LineInput
    share: Share
    reasons: tuple[str, ...]
    bounds: Mapping[str, int]

    @property
    def changed(self) -> bool:
        """Return whether anything that others see is new."""
        seen = (self.row["cap_minor"], self.row["tier"], self.row["drawable"], tuple(self.row["reasons"]))
        return seen != (self.share.cap, self.reach.tier if self.reach else None, not self.reasons, self.reasons)

    def is_new(self, *, policy_version: str) -> bool:
        """Return whether anything of the line is new, or by which policy it is what it is."""
        row, given = self.row, self.given
        kept = (row["volume_minor"], row["weight"], row["floor_minor"], row["ceiling_minor"], row["reserved_minor"])
        volume = self.reach.volume_minor if self.reach else 0
        return (
            self.changed
            or kept != (volume, given.weight, given.floor, given.ceiling, self.share.reserved)
            or (row["bounds"], row["policy_version"]) != (self.bounds, policy_version)
        )


@dataclass(frozen=True)
class Facts:
    """A programme as it was read: its terms, its lines, who trades with whom, and what its anchor is good for."""

    programme: Mapping[str, Any]
    terms: ProgrammeTerms
    rows: Sequence[Mapping[str, Any]]
    links: Sequence[Mapping[str, Any]]
    caps: Mapping[str, int]

    @cached_property
    def reached(self) -> Mapping[tuple[str, str], Reach]:
        """Return how far trade reaches, by direction and firm."""
        found: dict[tuple[str, str], Reach] = {}
        links, anchor_id, max_tier = self.links, self.programme["anchor_id"], self.terms.max_tier
        for direction, firm, neighbour in (
            ("upstream", "supplier_id", "buyer_id"),
            ("downstream", "buyer_id", "supplier_id"),
        ):
            trades = ((link[firm], link[neighbour], link["traded_minor"]) for link in links)
            reached = reach(anchor_id=anchor_id, trades=trades, max_tier=max_tier)
            found |= {(direction, enterprise_id): each for enterprise_id, each in reached.items()}
        return found

    @cached_property
    def above(self) -> Mapping[tuple[Level, str], int]:
        """Return what the nodes above the lines are sanctioned; tier nodes default to the programme's limit."""
        programme_id, currency = self.programme["programme_id"], self.terms.currency
        head, anchor, limit = self.programme["group_head_id"], self.programme["anchor_id"], self.terms.limit.minor
        found = {
            (Level.GROUP, group_node(enterprise_id=head, currency=currency)): self.caps.get(head, 0),
            (Level.OBLIGOR, obligor_node(enterprise_id=anchor, currency=currency)): self.caps.get(anchor, 0),
            (Level.PROGRAMME, programme_node(programme_id=programme_id)): limit,
        }
        directions: dict[Literal["upstream", "downstream"], int] = {
            "upstream": self.terms.upstream_limit.minor,
            "downstream": self.terms.downstream_limit.minor,
        }
        for direction, sub_limit in directions.items():
            found[Level.DIRECTION, direction_node(programme_id=programme_id, direction=direction)] = sub_limit
            for tier in range(1, self.terms.max_tier + 1):
                found[Level.TIER, tier_node(programme_id=programme_id, direction=direction, tier=tier)] = limit
        return found

    def nodes(self) -> list[tuple[Level, str]]:
        """Return every node that the programme sanctions."""
        return self._nodes

    @cached_property
    def _nodes(self) -> list[tuple[Level, str]]:
        lines = [(Level.LINE, line_node(line_id=row["line_id"])) for row in self.rows]
        return [*self.above, *(firm_node(row, self.terms.currency) for row in self.rows), *lines]


@dataclass(frozen=True, slots=True)
class Computed:
    """What propagation makes of a programme, and by which policy."""

    lines: Sequence[ComputedLine]
    result: Propagation
    policy: Policy


async def read_links(tx: Transaction, *, currency: str) -> Sequence[Mapping[str, Any]]:
    """Return who traded with whom in a currency, and how much: all of it, for what is supposed may join any two."""
    rows: Sequence[Mapping[str, Any]] = await tx.pg.fetch(
        "SELECT supplier_id, buyer_id, traded_minor FROM link WHERE currency = $1", currency
    )
    return rows


async def read_head(tx: Transaction, programme: Mapping[str, Any]) -> Facts:
    """Return a programme's facts without its lines: what the nodes above them are sanctioned by."""
    return await _facts(tx, programme, rows=(), links=())


async def read_facts(tx: Transaction, programme: Mapping[str, Any], *, links: Sequence[Mapping[str, Any]]) -> Facts:
    """Return what a programme's propagation stands on; its row comes with the business date, `today`.

    Whoever reads several programmes reads the links of their currency once: all, or those that matter (`read_trade`).
    """
    rows = await tx.pg.fetch(_LINES, programme["programme_id"], programme["currency"])
    return await _facts(tx, programme, rows=rows, links=links)


async def _facts(
    tx: Transaction,
    programme: Mapping[str, Any],
    *,
    rows: Sequence[Mapping[str, Any]],
    links: Sequence[Mapping[str, Any]],
) -> Facts:
    terms = (await terms_in_force(tx, [programme]))[programme["programme_id"]]
    caps = await tx.pg.fetch(
        "SELECT enterprise_id, cap_minor FROM rating WHERE currency = $1 AND enterprise_id = ANY($2)",
        *(terms.currency, [programme["group_head_id"], programme["anchor_id"]]),
    )
    return Facts(programme, terms, rows, links, {row["enterprise_id"]: row["cap_minor"] for row in caps})


def compute(facts: Facts, nodes: Mapping[str, Node]) -> Computed:
    """Return what propagation gives every line, its nodes as they stand; it touches nothing."""
    terms, reached = facts.terms, facts.reached
    policy = policy_on(terms.propagation_policy, on=facts.programme["today"])
    rules = _Rules.of(terms, policy, on=facts.programme["today"])
    lines = []
    for row in facts.rows:
        node = nodes[line_node(line_id=row["line_id"])]
        reach_of, bounds = reached.get(_who(row)), rules.bounds(row)
        given = rules.input(row, reach_of, node.held + node.utilised, bounds)
        lines.append((row, reach_of, given, bounds))
    result = propagate(
        limit=terms.limit.minor, lines=[given for _, _, given, _ in lines], commitment_ratio=rules.commitment_ratio
    )
    shares = {share.line_id: share for share in result.shares}
    computed = [
        ComputedLine(row, reach_of, given, shares[given.line_id], _reasons(row, facts.programme, reach_of), bounds)
        for row, reach_of, given, bounds in lines
    ]
    return Computed(computed, result, policy)


def sanctions(facts: Facts, lines: Sequence[ComputedLine]) -> dict[str, int]:
    """Return what each node is sanctioned after propagation."""
    amounts = {node_id: amount for (_, node_id), amount in facts.above.items()}
    for line in lines:
        _, firm = firm_node(line.row, facts.terms.currency)
        amounts[firm] = line.bounds["rating_cap"]
        amounts[line_node(line_id=line.row["line_id"])] = line.share.cap
    return amounts


def firm_node(row: Mapping[str, Any], currency: str) -> tuple[Level, str]:
    """Return the node of the firm itself: a seller's own cap, or a distributor as whoever owes."""
    if row["direction"] == "upstream":
        return Level.SME, sme_node(enterprise_id=row["enterprise_id"], currency=currency)
    return Level.OBLIGOR, obligor_node(enterprise_id=row["enterprise_id"], currency=currency)


def _who(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["direction"], row["enterprise_id"]


@dataclass(frozen=True, slots=True)
class _Rules:
    """What holds for all of a programme's lines, read once."""

    concentration_cap: int
    quota: int
    tier_decay: int
    commitment_ratio: int
    currency: str
    products: Mapping[str, tuple[Product, ...]]

    @classmethod
    def of(cls, terms: ProgrammeTerms, policy: Policy, *, on: date) -> _Rules:
        """Return the rules of a programme's terms, policy and products."""
        offered = programme_products(names=tuple(terms.products), recourse=terms.recourse, on=on)
        return cls(
            share_of(amount=terms.limit.minor, millionths=parse_rate(terms.concentration_share)),
            parse_minor(amount=policy.values["quota"], currency=terms.currency),
            parse_rate(policy.values["tier_decay"]),
            parse_rate(policy.values["commitment_ratio"]),
            terms.currency,
            {direction: _bounded(in_direction(offered, direction)) for direction in ("upstream", "downstream")},
        )

    def quota_of(self, row: Mapping[str, Any]) -> int:
        """Return the most a line may be: by the policy, and where each of its products has a quota, by those."""
        products = self.products[row["direction"]]
        if not products:
            return self.quota
        industry, size_class = row["industry"] or "", row["size_class"] or ""
        found = line_quota(products, currency=self.currency, industry=industry, size_class=size_class)
        return self.quota if found is None else min(self.quota, found)

    def bounds(self, row: Mapping[str, Any]) -> dict[str, int]:
        """Return what a line's ceiling is the least of; an unrated firm has no cap."""
        cap = row["rating_cap"] or 0
        return {
            "rating_cap": cap,
            "concentration_cap": self.concentration_cap,
            "quota": self.quota_of(row),
            "sme_headroom": max(0, cap - row["sme_used"]),
        }

    def input(self, row: Mapping[str, Any], reached: Reach | None, used: int, bounds: Mapping[str, int]) -> LineInput:
        """Return what propagation needs to know of a line."""
        supported = row["direction"] == "upstream" or row["anchor_support"] > 0
        is_open = reached is not None and row["sme_active"] is not False and row["rating_cap"] is not None and supported
        weight = 0
        if reached is not None:
            weight = line_weight(
                volume_minor=reached.volume_minor,
                multiplier=row["multiplier"] or 0,
                tier_decay=self.tier_decay,
                tier=reached.tier,
            )
        ceiling = line_ceiling(
            rating_cap=bounds["rating_cap"],
            concentration_cap=bounds["concentration_cap"],
            quota=bounds["quota"],
            sme_headroom=bounds["sme_headroom"],
            used=used,
            open_for_draws=is_open,
        )
        return LineInput(row["line_id"], weight, ceiling, used, row["committed"])


def _bounded(products: tuple[Product, ...]) -> tuple[Product, ...]:
    """Return the products if each has a quota of its own, none of them otherwise: then the policy's alone counts."""
    return products if all(each.quotas for each in products) else ()


def _reasons(row: Mapping[str, Any], programme: Mapping[str, Any], reached: Reach | None) -> tuple[str, ...]:
    state = LineState(row["sme_active"], programme["active"], row["valid_until"], row["expiry_date"], row["overdue"])
    reasons = why_not_drawable(state, on=programme["today"])
    if reached is None:
        reasons.append("no_trade_with_the_anchor")
    if row["direction"] == "downstream" and not row["anchor_support"]:
        reasons.append("anchor_does_not_support")
    if row["deficient"]:
        reasons.append("deficiency")
    return tuple(reasons)
