"""Propagate a programme's limit to its lines: read, compute, write `sanctioned` under the programme's lock."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from services.credit.domain.propagation import (
    LineInput,
    Propagation,
    Share,
    line_ceiling,
    line_weight,
    propagate,
)
from services.credit.domain.trade import Reach, Trade, reach
from services.credit.operations.nodes import create_nodes, lock_nodes, note_overuse, renew_version, sanction
from shared.events.credit import LimitPropagated, LineChanged
from shared.events.envelope import Event
from shared.events.onboarding import ProgrammeTerms
from shared.messaging.outbox import append
from shared.runtime.offload import offload
from shared.storage.database import Transaction
from shared.values.money import Amount, parse_minor
from shared.values.policies import Policy, policy_on
from shared.values.rates import parse_rate, share_of

_INLINE_LINES = 2_000
_LINES = """
SELECT l.*, e.active AS sme_active, r.cap_minor AS rating_cap, r.multiplier, r.valid_until, a.expiry_date,
    coalesce(a.committed_minor, 0) AS committed,
    (SELECT coalesce(sum(n.held_minor + n.utilised_minor), 0)::bigint FROM line o
        JOIN limit_node n ON n.node_id = 'line/' || o.line_id AND n.currency = $2
        WHERE o.enterprise_id = l.enterprise_id) AS sme_used,
    EXISTS (SELECT FROM deficiency d WHERE d.line_id = l.line_id AND d.deficiency_minor > 0) AS deficient,
    EXISTS (SELECT FROM overdue_loan o WHERE o.line_id = l.line_id) AS overdue
FROM line l
LEFT JOIN enterprise e USING (enterprise_id)
LEFT JOIN rating r ON r.enterprise_id = l.enterprise_id AND r.currency = $2
LEFT JOIN agreement a ON (a.programme_id, a.enterprise_id) = (l.programme_id, l.enterprise_id)
WHERE l.programme_id = $1 ORDER BY l.line_id
"""
_WRITE_LINES = """
UPDATE line l SET tier = n.tier, volume_minor = n.volume, weight = n.weight, floor_minor = n.floor,
    ceiling_minor = n.ceiling, reserved_minor = n.reserved, cap_minor = n.cap, drawable = n.drawable,
    reasons = string_to_array(n.reasons, ','), bounds = n.bounds::jsonb, policy_version = $12
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bool[], $10::text[], $11::text[])
    AS n(line_id, tier, volume, weight, floor, ceiling, reserved, cap, drawable, reasons, bounds)
WHERE l.line_id = n.line_id
"""


@dataclass(frozen=True, slots=True)
class _Computed:
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


@dataclass(frozen=True, slots=True)
class _Given:
    """A programme as it was read: its terms, its lines, how far trade reaches, and the nodes it sanctions."""

    programme: Mapping[str, Any]
    terms: ProgrammeTerms
    rows: Sequence[Mapping[str, Any]]
    reached: Mapping[tuple[str, str], Reach]
    above: Mapping[tuple[Level, str], int]

    def nodes(self) -> list[tuple[Level, str]]:
        """Return every node that the programme sanctions."""
        lines = [(Level.LINE, line_node(line_id=row["line_id"])) for row in self.rows]
        return [*self.above, *(_firm_node(row, self.terms.currency) for row in self.rows), *lines]


async def propagate_limits(tx: Transaction, *, programme_ids: Sequence[str], cause: str) -> None:
    """Propagate each programme anew; only lines that changed produce an event."""
    rows = await tx.pg.fetch(
        """SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p
        WHERE programme_id = ANY($1) ORDER BY programme_id FOR UPDATE OF p""",
        sorted(set(programme_ids)),
    )
    given = [await _read(tx, row) for row in rows]
    for each in given:
        await create_nodes(tx, nodes=each.nodes(), currency=each.terms.currency)
    # All programmes' nodes in one statement: root first, or two propagations could wait for each other.
    nodes = await lock_nodes(tx, node_ids={node_id for each in given for _, node_id in each.nodes()})
    for each in given:
        await _propagate_one(tx, each, nodes, cause)


async def _read(tx: Transaction, programme: Mapping[str, Any]) -> _Given:
    terms = ProgrammeTerms.model_validate(programme["terms"])
    return _Given(
        programme,
        terms,
        await tx.pg.fetch(_LINES, programme["programme_id"], terms.currency),
        await _reach(tx, programme, terms),
        await _sanctioned_above(tx, programme, terms),
    )


async def _propagate_one(tx: Transaction, given: _Given, nodes: Mapping[str, Node], cause: str) -> None:
    programme, terms, rows = given.programme, given.terms, given.rows
    policy = policy_on(terms.propagation_policy, on=programme["today"])
    inputs, bounds = {}, {}
    for row in rows:
        line_id = row["line_id"]
        node = nodes[line_node(line_id=line_id)]
        bounds[line_id] = _bounds(row, terms, policy)
        used = node.held + node.utilised
        inputs[line_id] = _input(row, given.reached.get(_who(row)), used, bounds[line_id], policy)
    ratio = parse_rate(policy.values["commitment_ratio"])
    compute = partial(propagate, limit=terms.limit.minor, lines=list(inputs.values()), commitment_ratio=ratio)
    # 10,000 lines take a tenth of a second: not on the loop that answers requests.
    result = compute() if len(rows) <= _INLINE_LINES else await offload(compute)
    shares = {share.line_id: share for share in result.shares}
    lines = [
        _Computed(
            row,
            given.reached.get(_who(row)),
            inputs[row["line_id"]],
            shares[row["line_id"]],
            _reasons(row, programme, given.reached.get(_who(row))),
            bounds[row["line_id"]],
        )
        for row in rows
    ]
    await _sanction(tx, given, lines, cause)
    await _write(tx, programme, terms, lines, result, policy=policy, cause=cause)


async def _sanction(tx: Transaction, given: _Given, lines: Sequence[_Computed], cause: str) -> None:
    amounts = {node_id: amount for (_, node_id), amount in given.above.items()}
    for line in lines:
        _, firm = _firm_node(line.row, given.terms.currency)
        amounts[firm] = line.bounds["rating_cap"]
        amounts[line_node(line_id=line.row["line_id"])] = line.share.cap
    await sanction(tx, amounts)
    await note_overuse(tx, node_ids=amounts, cause=cause)
    await renew_version(tx, programme_id=given.programme["programme_id"])


def _firm_node(row: Mapping[str, Any], currency: str) -> tuple[Level, str]:
    """Return the node of the firm itself: a seller's own cap, or a distributor as whoever owes."""
    if row["direction"] == "upstream":
        return Level.SME, sme_node(enterprise_id=row["enterprise_id"], currency=currency)
    return Level.OBLIGOR, obligor_node(enterprise_id=row["enterprise_id"], currency=currency)


def _who(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["direction"], row["enterprise_id"]


async def _reach(tx: Transaction, programme: Mapping[str, Any], terms: ProgrammeTerms) -> dict[tuple[str, str], Reach]:
    links = await tx.pg.fetch(
        "SELECT supplier_id, buyer_id, traded_minor FROM link WHERE currency = $1", terms.currency
    )
    found: dict[tuple[str, str], Reach] = {}
    for direction, firm, neighbour in (
        ("upstream", "supplier_id", "buyer_id"),
        ("downstream", "buyer_id", "supplier_id"),
    ):
        trades = [Trade(link[firm], link[neighbour], link["traded_minor"]) for link in links]
        reached = reach(anchor_id=programme["anchor_id"], trades=trades, max_tier=terms.max_tier)
        found |= {(direction, enterprise_id): each for enterprise_id, each in reached.items()}
    return found


def _bounds(row: Mapping[str, Any], terms: ProgrammeTerms, policy: Policy) -> dict[str, int]:
    """Return what a line's ceiling is the least of; an unrated firm has no cap."""
    cap = row["rating_cap"] or 0
    limit = terms.limit.minor
    return {
        "rating_cap": cap,
        "concentration_cap": share_of(amount=limit, millionths=parse_rate(terms.concentration_share)),
        "quota": parse_minor(amount=policy.values["quota"], currency=terms.currency),
        "sme_headroom": max(0, cap - row["sme_used"]),
    }


def _input(
    row: Mapping[str, Any], reached: Reach | None, used: int, bounds: Mapping[str, int], policy: Policy
) -> LineInput:
    supported = row["direction"] == "upstream" or row["anchor_support"] > 0
    is_open = reached is not None and row["sme_active"] is not False and row["rating_cap"] is not None and supported
    weight = 0
    if reached is not None:
        weight = line_weight(
            volume_minor=reached.volume_minor,
            multiplier=row["multiplier"] or 0,
            tier_decay=parse_rate(policy.values["tier_decay"]),
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


async def _write(
    tx: Transaction,
    programme: Mapping[str, Any],
    terms: ProgrammeTerms,
    lines: Sequence[_Computed],
    result: Propagation,
    *,
    policy: Policy,
    cause: str,
) -> None:
    programme_id, currency = programme["programme_id"], terms.currency
    await tx.pg.execute(
        _WRITE_LINES,
        [line.row["line_id"] for line in lines],
        [line.reach.tier if line.reach else None for line in lines],
        [line.reach.volume_minor if line.reach else 0 for line in lines],
        [line.given.weight for line in lines],
        [line.given.floor for line in lines],
        [line.given.ceiling for line in lines],
        [line.share.reserved for line in lines],
        [line.share.cap for line in lines],
        [not line.reasons for line in lines],
        [",".join(line.reasons) for line in lines],
        [json.dumps(line.bounds) for line in lines],
        policy.version,
    )
    await tx.pg.execute(
        "UPDATE programme SET shortfall_minor = $2, pool_minor = $3 WHERE programme_id = $1",
        *(programme_id, result.shortfall, result.pool),
    )
    changed = [line for line in lines if line.changed]
    events: list[Event] = [_line_changed(line, programme_id, currency) for line in changed]

    def amount(minor: int) -> Amount:
        return Amount.of(amount_minor=minor, currency=currency)

    events.append(
        LimitPropagated(
            programme_id=programme_id,
            limit=terms.limit,
            pool=amount(result.pool),
            reserved=amount(result.reserved),
            shortfall=amount(result.shortfall),
            changed_lines=len(changed),
            cause=cause,
            policy_version=policy.version,
        )
    )
    await append(tx, events, source="credit")


async def _sanctioned_above(
    tx: Transaction, programme: Mapping[str, Any], terms: ProgrammeTerms
) -> dict[tuple[Level, str], int]:
    """Return what the nodes above the lines are sanctioned; tier nodes default to the programme's limit."""
    programme_id, currency, limit = programme["programme_id"], terms.currency, terms.limit.minor
    head, anchor = programme["group_head_id"], programme["anchor_id"]
    caps: dict[str, int] = defaultdict(int)
    rows = await tx.pg.fetch(
        "SELECT enterprise_id, cap_minor FROM rating WHERE currency = $1 AND enterprise_id = ANY($2)",
        *(currency, [head, anchor]),
    )
    caps.update({row["enterprise_id"]: row["cap_minor"] for row in rows})
    found = {
        (Level.GROUP, group_node(enterprise_id=head, currency=currency)): caps[head],
        (Level.OBLIGOR, obligor_node(enterprise_id=anchor, currency=currency)): caps[anchor],
        (Level.PROGRAMME, programme_node(programme_id=programme_id)): limit,
    }
    directions: dict[Literal["upstream", "downstream"], int] = {
        "upstream": terms.upstream_limit.minor,
        "downstream": terms.downstream_limit.minor,
    }
    for direction, sub_limit in directions.items():
        found[Level.DIRECTION, direction_node(programme_id=programme_id, direction=direction)] = sub_limit
        for tier in range(1, terms.max_tier + 1):
            found[Level.TIER, tier_node(programme_id=programme_id, direction=direction, tier=tier)] = limit
    return found


def _line_changed(line: _Computed, programme_id: str, currency: str) -> LineChanged:
    return LineChanged(
        line_id=line.row["line_id"],
        programme_id=programme_id,
        enterprise_id=line.row["enterprise_id"],
        tier=line.reach.tier if line.reach else 0,
        direction=line.row["direction"],
        cap=Amount.of(amount_minor=line.share.cap, currency=currency),
        cap_before=Amount.of(amount_minor=line.row["cap_minor"], currency=currency),
        drawable=not line.reasons,
        reasons=list(line.reasons),
    )
