"""What if: the lines of a programme before and after changes that nobody made; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from services.credit.domain.limits import Node
from services.credit.domain.what_if import Line, Side
from services.credit.operations.programme_facts import Computed, Facts, compute, sanctions
from services.credit.queries.path_shapes import Shape, new_shape
from services.credit.queries.securing import Securities
from services.credit.queries.supposing import Supposed
from services.credit.queries.what_if_reading import Read, pair_of_line

# What propagation judges anew, and that it has not yet; all other reasons (a block, no product) stay as they are.
JUDGED = frozenset({
    "sme_not_registered", "sme_suspended", "programme_not_active", "unrated", "rating_expired", "agreement_not_signed",
    "agreement_expired", "overdue", "no_trade_with_the_anchor", "anchor_does_not_support", "deficiency",
    "not_propagated_yet",
})  # fmt: skip
NO_COVER = "no_registered_cover"


@dataclass(frozen=True)
class Compared:
    """A programme on both sides; pairs are (before, after)."""

    programme: Mapping[str, Any]
    read: Read
    supposed: Supposed
    before: Side
    after: Side
    computed: Computed | None

    @cached_property
    def lines(self) -> Sequence[Line]:
        """Return the lines as they would be."""
        return list(self.after.lines.values())

    @property
    def limits(self) -> tuple[int, int]:
        """Return the programme's limit."""
        return self.read.facts.terms.limit.minor, self.supposed.facts.terms.limit.minor

    @property
    def pools(self) -> tuple[int, int]:
        """Return what the lines share."""
        pool = self.programme["pool_minor"]
        return pool, self.computed.result.pool if self.computed else pool

    @property
    def shortfalls(self) -> tuple[int, int]:
        """Return by how much what cannot shrink exceeds the pool."""
        short = self.programme["shortfall_minor"]
        return short, self.computed.result.shortfall if self.computed else short


def compare(read: Read, supposed: Supposed, *, covers: tuple[Securities, Securities]) -> Compared:
    """Return both sides; where nothing changes, what is there stands on both. `covers` are (before, after)."""
    before = _before(read)
    if not supposed.done:
        return Compared(read.facts.programme, read, supposed, before, before, None)
    after, computed = _after(read, supposed, before, covers)
    return Compared(read.facts.programme, read, supposed, before, after, computed)


class _Room:
    """What is left on nodes: of shared ones once a shape, of a line's own each time."""

    def __init__(self, nodes: Mapping[str, Node], amounts: Mapping[str, int]) -> None:
        self._nodes = nodes
        self._amounts = amounts
        self._least: dict[int, int] = {}

    def left(self, node_id: str) -> int:
        """Return what a node leaves: what it is, or would be, sanctioned, less held and utilised."""
        node = self._nodes.get(node_id)
        if node is None:
            return max(0, self._amounts[node_id])
        return max(0, self._amounts.get(node_id, node.sanctioned) - node.held - node.utilised)

    def shortfall(self, node_id: str) -> int:
        """Return by how much a node's use is above what it is, or would be, sanctioned."""
        node = self._nodes.get(node_id)
        return 0 if node is None else max(0, node.held + node.utilised - self._amounts.get(node_id, node.sanctioned))

    def available(self, shape: Shape, line_id: str, firm_id: str) -> int:
        """Return what a line's path leaves: the least of its nodes."""
        least = self._least.get(id(shape))
        if least is None:
            least = self._least[id(shape)] = min(map(self.left, shape.shared))
        for node_id in shape.nodes_of(line_id, firm_id):
            least = min(least, self.left(node_id))
        return least

    def short(self) -> frozenset[str]:
        """Return the nodes that are short."""
        return frozenset(node_id for node_id in self._nodes if self.shortfall(node_id))


def _before(read: Read) -> Side:
    """Return what is there: the lines as they are stored, which is what they can be drawn by."""
    room = _Room(read.nodes, {})
    lines, shaped = {}, {}
    for row in read.facts.rows:
        line_id, firm_id = row["line_id"], row["enterprise_id"]
        shape = shaped[line_id] = read.shapes.of(line_id, tier=row["tier"])
        reasons = read.shapes.why_barred(line_id, tier=row["tier"])
        lines[line_id] = Line(
            line_id=line_id,
            programme_id=row["programme_id"],
            firm_id=firm_id,
            direction=row["direction"],
            tier=row["tier"] or 0,
            cap=row["cap_minor"],
            reserved=row["reserved_minor"],
            available=room.available(shape, line_id, firm_id),
            shortfall=room.shortfall(f"line/{line_id}"),
            drawable=not reasons,
            reasons=reasons,
        )
    grades = {firm_id: firm["grade"] for firm_id, firm in read.firms.items() if firm["grade"]}
    return Side(lines, room.short(), grades, shared=_sharing(room, shaped))


def _after(
    read: Read, supposed: Supposed, before: Side, covers: tuple[Securities, Securities]
) -> tuple[Side, Computed]:
    facts = supposed.facts
    nodes = {node_id: Node(node_id, 0, 0, 0) for _, node_id in facts.nodes()} | dict(read.nodes)
    computed = compute(facts, nodes)
    carried = _carried(facts, covers)
    cover_nodes = {node_id: minor for found in carried.values() for node_id, minor in found.items()}
    room = _Room(nodes, {**sanctions(facts, computed.lines), **cover_nodes, **supposed.pairs})
    gone = JUDGED | {"anchor_unrated"} if facts.programme["anchor_id"] in facts.caps else JUDGED
    lines, shaped = {}, {}
    for each in computed.lines:
        row, line_id = each.row, each.row["line_id"]
        tier = each.reach.tier if each.reach else 0
        is_new = line_id not in before.lines
        shape = new_shape(facts, row, tier) if is_new else read.shapes.of(line_id, tier=tier)
        pair = pair_of_line(row, facts.programme)
        if pair in supposed.pairs and not shape.alone:
            shape = shape.through(pair)
        shaped[line_id] = shape
        reasons = (*each.reasons, *_kept_reasons(before.lines.get(line_id), gone))
        if shape.pledged and line_id in carried:
            reasons = _on_pledge(reasons, min(carried[line_id].values()))
        lines[line_id] = Line(
            line_id=line_id,
            programme_id=row["programme_id"],
            firm_id=row["enterprise_id"],
            direction=row["direction"],
            tier=tier,
            cap=each.share.cap,
            reserved=each.share.reserved,
            available=room.available(shape, line_id, row["enterprise_id"]),
            shortfall=room.shortfall(f"line/{line_id}"),
            drawable=not reasons,
            reasons=reasons,
        )
    return Side(lines, room.short(), supposed.grades, supposed.failed, _sharing(room, shaped)), computed


def _carried(facts: Facts, covers: tuple[Securities, Securities]) -> dict[str, dict[str, int]]:
    """Return, of each line whose firm's cover changes, what its nodes of cover would be sanctioned."""
    was, would_be = covers
    changed = would_be.changed_from(was)
    return {
        row["line_id"]: would_be.sanctioned(row["line_id"], row["enterprise_id"], facts.terms.currency)
        for row in facts.rows
        if row["enterprise_id"] in changed
    }


def _on_pledge(reasons: tuple[str, ...], secured: int) -> tuple[str, ...]:
    """Return the reasons against drawing on a line whose product stands on registered cover."""
    others = tuple(reason for reason in reasons if reason != NO_COVER)
    return others if secured else (*others, NO_COVER)


def _sharing(room: _Room, shaped: Mapping[str, Shape]) -> Callable[[Line], Mapping[str, int]]:
    def shared(line: Line) -> Mapping[str, int]:
        shape = shaped[line.line_id]
        names = [*shape.shared, *shape.nodes_of(line.line_id, line.firm_id)]
        return {name: room.left(name) for name in names}

    return shared


def _kept_reasons(line: Line | None, gone: frozenset[str]) -> tuple[str, ...]:
    """Return the reasons against drawing that propagation does not judge, as far as they would stay."""
    return tuple(reason for reason in line.reasons if reason not in gone) if line is not None else ()
