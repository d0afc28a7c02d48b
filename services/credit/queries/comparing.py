"""What if: the lines of a programme before and after changes that nobody made; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from services.credit.domain.limits import Node, binding
from services.credit.domain.offers import Terms
from services.credit.domain.paths import Level, Place, Step, path_of, product_node, tier_node
from services.credit.domain.what_if import (
    Change,
    Joined,
    Line,
    Open,
    RiskWeights,
    Side,
    expected_loss,
    frozen,
    liquidity,
    trapped,
)
from services.credit.operations.line_terms import read_rows, terms_of
from services.credit.operations.product_policies import programme_products
from services.credit.operations.programme_facts import Computed, ComputedLine, Facts, compute, read_facts, sanctions
from services.credit.operations.risk_weights import risk_weights
from services.credit.queries.reading import UnknownProgramme, node_of
from services.credit.queries.supposing import Supposed, suppose
from services.credit.queries.what_if_out import Comparison, told
from shared.events.onboarding import ProgrammeTerms
from shared.runtime.offload import offload
from shared.storage.database import Database, Transaction

_PROGRAMME = """
SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p WHERE programme_id = $1
"""
_FIRMS = """
SELECT f.enterprise_id, coalesce(e.name, '') AS name, e.size_class, e.industry, r.grade, r.cap_minor, r.multiplier,
    (SELECT coalesce(sum(n.held_minor + n.utilised_minor), 0)::bigint FROM line o
        JOIN limit_node n ON n.node_id = 'line/' || o.line_id AND n.currency = $2
        WHERE o.enterprise_id = f.enterprise_id) AS used
FROM unnest($1::text[]) AS f(enterprise_id)
LEFT JOIN enterprise e USING (enterprise_id)
LEFT JOIN rating r ON r.enterprise_id = f.enterprise_id AND r.currency = $2
"""
_OPEN = """
SELECT w.drawdown_id, w.line_id, w.enterprise_id, w.obligor_id, w.state, w.form, w.exposure_minor, w.used_minor,
    w.maturity_date, w.path
FROM unnest($1::text[]) AS l(line_id) CROSS JOIN LATERAL (
    SELECT * FROM drawdown WHERE line_id = l.line_id
        AND state IN ('held', 'referred', 'approved', 'cancelling', 'utilised')) AS w
ORDER BY w.drawdown_id
"""


# Beyond these it takes more than a moment, and goes to the process that computes: the loop answers requests.
_INLINE_LINES = 500


@dataclass(frozen=True)
class _Read:
    """Everything that one snapshot says of a programme; plain, for it may go to another process."""

    facts: Facts
    term_rows: Sequence[Mapping[str, Any]]
    nodes: Mapping[str, Node]
    firms: Mapping[str, Mapping[str, Any]]
    drawdowns: Sequence[Open]

    @cached_property
    def terms(self) -> Mapping[str, Terms]:
        """Return the terms of each line's first product."""
        agreed = ProgrammeTerms.model_validate(self.facts.programme["terms"])
        return {row["line_id"]: terms_of(row, agreed).usual for row in self.term_rows}


async def what_if(
    database: Database, *, programme_id: str, changes: Sequence[Change], limit: int = 1000
) -> dict[str, Any]:
    """Return every line before and after the changes, and what they would do; no changes, no difference."""
    async with database.snapshot() as tx:
        read = await _read(tx, programme_id, changes)
    weights = risk_weights(on=read.facts.programme["today"])
    supposed = suppose(read.facts, changes, firms=read.firms, weights=weights)
    answer = partial(_answer, read, supposed, weights, has_changed=bool(changes), limit=limit)
    return answer() if len(read.facts.rows) <= _INLINE_LINES else await offload(answer)


def _answer(read: _Read, supposed: Supposed, weights: RiskWeights, *, has_changed: bool, limit: int) -> dict[str, Any]:
    before = _before(read)
    after, computed = _after(read, supposed, before) if has_changed else (before, None)
    return told(_compare(read, supposed, before, after, computed, weights), limit=limit)


async def _read(tx: Transaction, programme_id: str, changes: Sequence[Change]) -> _Read:
    row = await tx.pg.fetchrow(_PROGRAMME, programme_id)
    if row is None:
        raise UnknownProgramme(programme_id=programme_id)
    facts = await read_facts(tx, row)
    facts = Facts(dict(row), facts.terms, _plain(facts.rows), _plain(facts.links), facts.caps)
    line_ids = [each["line_id"] for each in facts.rows]
    drawn = await tx.pg.fetch(_OPEN, line_ids)
    wanted = {node_id for _, node_id in facts.nodes()} | {step[1] for each in drawn for step in each["path"]}
    offered = programme_products(names=tuple(facts.terms.products), recourse=facts.terms.recourse, on=row["today"])
    wanted |= {product_node(line_id=line_id, product=each.name) for line_id in line_ids for each in offered}
    nodes = await tx.pg.fetch("SELECT * FROM limit_node WHERE node_id = ANY($1)", sorted(wanted))
    firm_ids = {each["enterprise_id"] for each in facts.rows} | {each["obligor_id"] for each in drawn}
    firm_ids |= {row["anchor_id"], row["group_head_id"]}
    firm_ids |= {each.firm_id for each in changes if isinstance(each, Joined)}
    firms = await tx.pg.fetch(_FIRMS, sorted(firm_ids), facts.terms.currency)
    return _Read(
        facts,
        _plain(await read_rows(tx, line_ids=line_ids)),
        {each["node_id"]: node_of(each) for each in nodes},
        {each["enterprise_id"]: dict(each) for each in firms},
        [_open(each) for each in drawn],
    )


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    # A programme's terms are said once, not with every line.
    return [{name: value for name, value in row.items() if name != "terms"} for row in rows]


def _open(row: Mapping[str, Any]) -> Open:
    return Open(
        drawdown_id=row["drawdown_id"],
        line_id=row["line_id"],
        firm_id=row["enterprise_id"],
        obligor_id=row["obligor_id"],
        waits=row["state"] in {"held", "referred", "approved"},
        is_loan=row["form"] == "loan",
        exposure=row["exposure_minor"],
        used=row["used_minor"],
        maturity_date=row["maturity_date"],
        node_ids=tuple(step[1] for step in row["path"]),
    )


def _before(read: _Read) -> Side:
    """Return what is there: the lines as they are stored, which is what they can be drawn by."""
    lines = {}
    for row in read.facts.rows:
        terms = read.terms[row["line_id"]]
        share = (row["tier"] or 0, row["cap_minor"], row["reserved_minor"])
        lines[row["line_id"]] = _line(row, share, terms.not_drawable, read.nodes, terms.path)
    grades = {firm_id: firm["grade"] for firm_id, firm in read.firms.items() if firm["grade"]}
    return Side(lines, _short(read.nodes), grades)


def _after(read: _Read, supposed: Supposed, before: Side) -> tuple[Side, Computed]:
    facts = supposed.facts
    nodes = {node_id: Node(node_id, 0, 0, 0) for _, node_id in facts.nodes()} | dict(read.nodes)
    computed = compute(facts, nodes)
    amounts = sanctions(facts, computed.lines)
    nodes = {
        node_id: replace(node, sanctioned=amounts.get(node_id, node.sanctioned)) for node_id, node in nodes.items()
    }
    lines = {}
    for each in computed.lines:
        line_id = each.row["line_id"]
        tier = each.reach.tier if each.reach else 0
        reasons = (*each.reasons, *_kept_reasons(read.terms.get(line_id), before.lines.get(line_id), each, supposed))
        share = (tier, each.share.cap, each.share.reserved)
        lines[line_id] = _line(each.row, share, reasons, nodes, _path(facts, read.terms.get(line_id), each))
    return Side(lines, _short(nodes), supposed.grades, supposed.failed), computed


def _kept_reasons(
    terms: Terms | None, line: Line | None, computed: ComputedLine, supposed: Supposed
) -> tuple[str, ...]:
    """Return the reasons against drawing that propagation does not know, as far as they would stay."""
    if terms is None or line is None:
        return ()
    own = {*computed.row["reasons"], "not_propagated_yet"}
    anchor = supposed.facts.programme["anchor_id"]
    if anchor in supposed.facts.caps:
        own.add("anchor_unrated")
    return tuple(reason for reason in line.reasons if reason not in own)


def _path(facts: Facts, terms: Terms | None, line: ComputedLine) -> tuple[Step, ...]:
    programme, row = facts.programme, line.row
    tier = (line.reach.tier if line.reach else 0) or 1
    if terms is None:
        place = Place(
            line_id=row["line_id"],
            programme_id=programme["programme_id"],
            enterprise_id=row["enterprise_id"],
            group_head_id=programme["group_head_id"],
            direction=row["direction"],
            tier=tier,
            currency=facts.terms.currency,
            recourse=facts.terms.recourse,
            anchor_support=row["anchor_support"],
        )
        upstream = row["direction"] == "upstream"
        return path_of(place, obligor_id=programme["anchor_id"] if upstream else row["enterprise_id"])
    moved = tier_node(programme_id=programme["programme_id"], direction=row["direction"], tier=tier)
    return tuple(replace(step, node_id=moved) if step.level is Level.TIER else step for step in terms.path)


def _line(
    row: Mapping[str, Any],
    share: tuple[int, int, int],
    reasons: tuple[str, ...],
    nodes: Mapping[str, Node],
    path: Sequence[Step],
) -> Line:
    tier, cap, reserved = share
    own = nodes[f"line/{row['line_id']}"]
    return Line(
        line_id=row["line_id"],
        firm_id=row["enterprise_id"],
        direction=row["direction"],
        tier=tier,
        cap=cap,
        reserved=reserved,
        available=binding(nodes, path).available,
        shortfall=own.shortfall,
        drawable=not reasons,
        reasons=reasons,
    )


def _short(nodes: Mapping[str, Node]) -> frozenset[str]:
    return frozenset(node_id for node_id, node in nodes.items() if node.shortfall)


def _compare(  # noqa: PLR0917 - private; a comparison is made of all of it
    read: _Read, supposed: Supposed, before: Side, after: Side, computed: Computed | None, weights: RiskWeights
) -> Comparison:
    programme = read.facts.programme
    stuck = frozen(read.drawdowns, before=before, after=after)
    return Comparison(
        programme_id=programme["programme_id"],
        currency=read.facts.terms.currency,
        today=programme["today"],
        names={firm_id: firm["name"] for firm_id, firm in read.firms.items()},
        before=before,
        after=after,
        limits=(read.facts.terms.limit.minor, supposed.facts.terms.limit.minor),
        pools=(programme["pool_minor"], computed.result.pool if computed else programme["pool_minor"]),
        shortfalls=(
            programme["shortfall_minor"],
            computed.result.shortfall if computed else programme["shortfall_minor"],
        ),
        frozen=stuck,
        trapped=trapped(read.drawdowns, before=before, after=after),
        gaps=liquidity(read.drawdowns, before=before, after=after, stuck=stuck, today=programme["today"]),
        losses=(expected_loss(read.drawdowns, before, weights), expected_loss(read.drawdowns, after, weights)),
        policies=(computed.policy.version if computed else "", weights.version),
    )
