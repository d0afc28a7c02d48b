"""What a what-if reads, in one snapshot: whom the changes concern, and everything that one programme stands on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

from services.credit.domain.limits import Node
from services.credit.domain.paths import pair_node
from services.credit.domain.what_if import (
    Change,
    Covered,
    Deepened,
    Failed,
    Joined,
    Limited,
    NotSupposable,
    Open,
    Rated,
    Traded,
)
from services.credit.operations.line_terms import read_rows
from services.credit.operations.programme_facts import Facts, read_facts, read_links
from services.credit.queries.backing import NO_COVER, Backing, reached, read_backing
from services.credit.queries.path_shapes import Shapes
from services.credit.queries.reading import UnknownProgramme
from shared.events.onboarding import ProgrammeTerms
from shared.storage.database import Transaction

_TODAY = "SELECT coalesce((SELECT open_date FROM book), current_date)"
_PROGRAMMES = """
SELECT p.*, $2::date AS today FROM programme p WHERE programme_id = ANY($1) ORDER BY programme_id
"""
_CONCERNED = """
SELECT programme_id FROM programme WHERE (anchor_id = ANY($1) OR group_head_id = ANY($1))
    AND currency = coalesce($2, currency)
UNION SELECT l.programme_id FROM line l JOIN programme p USING (programme_id)
    WHERE l.enterprise_id = ANY($1) AND p.currency = coalesce($2, p.currency)
"""
_ANCHORS = "SELECT programme_id, anchor_id FROM programme WHERE currency = $1 AND anchor_id = ANY($2)"
_GROUPS = """
SELECT enterprise_id, group_head_id FROM enterprise WHERE group_head_id = ANY($1) ORDER BY enterprise_id
"""
_COUNT = "SELECT count(*) FROM line WHERE programme_id = ANY($1)"
_FIRMS = """
SELECT f.enterprise_id, coalesce(e.name, '') AS name, e.size_class, e.industry, r.grade, r.cap_minor, r.multiplier
FROM unnest($1::text[]) AS f(enterprise_id)
LEFT JOIN enterprise e USING (enterprise_id)
LEFT JOIN rating r ON r.enterprise_id = f.enterprise_id AND r.currency = $2
"""
_USED = """
SELECT o.enterprise_id, sum(n.held_minor + n.utilised_minor)::bigint AS used FROM line o
JOIN limit_node n ON n.node_id = 'line/' || o.line_id AND n.currency = $2
WHERE o.enterprise_id = ANY($1) GROUP BY o.enterprise_id
"""
_NODES = "SELECT node_id, sanctioned_minor, held_minor, utilised_minor FROM limit_node_now WHERE node_id = ANY($1)"
# What is used is found by programme; what waits is on lines that hold something, which are few.
_OPEN = """
SELECT w.drawdown_id, w.line_id, w.programme_id, w.enterprise_id, w.obligor_id, w.state, w.form, w.exposure_minor,
    w.used_minor, w.maturity_date, w.documents <> '[]' AS has_documents,
    ARRAY(SELECT s ->> 1 FROM jsonb_array_elements(w.path) s) AS node_ids
FROM drawdown w WHERE w.programme_id = $1 AND w.state = 'utilised'
UNION ALL
SELECT w.drawdown_id, w.line_id, w.programme_id, w.enterprise_id, w.obligor_id, w.state, w.form, w.exposure_minor,
    w.used_minor, w.maturity_date, w.documents <> '[]' AS has_documents,
    ARRAY(SELECT s ->> 1 FROM jsonb_array_elements(w.path) s) AS node_ids
FROM unnest($2::text[]) AS l(line_id) CROSS JOIN LATERAL (
    SELECT * FROM drawdown WHERE line_id = l.line_id
        AND state IN ('held', 'referred', 'approved', 'cancelling')) AS w
"""
_LONGEST_WAY = 20


class WhatIfTooLarge(ValueError):
    """The changes concern more lines or programmes than one answer may take; fewer can be asked for by name."""

    code: ClassVar[str] = "what_if_too_large"

    def __init__(self, *, lines: int, most_lines: int, programmes: int, most_programmes: int) -> None:
        """Keep what was found and the most there may be."""
        self.lines = lines
        self.most_lines = most_lines
        self.programmes = programmes
        self.most_programmes = most_programmes
        super().__init__(
            f"It concerns {lines} lines of {programmes} programmes; one answer takes {most_lines} of {most_programmes}:"
            " name fewer programmes."
        )


@dataclass(frozen=True)
class Asked:
    """What is supposed, and of which programmes; of all that it concerns when none is named."""

    changes: Sequence[Change]
    programme_ids: Sequence[str] | None = None


@dataclass(frozen=True)
class Scope:
    """The programmes concerned, the changes with their numbers from 1, whom they reach beside, and how many lines."""

    programmes: Sequence[Mapping[str, Any]]
    changes: Sequence[tuple[int, Change]]
    backing: Backing
    lines: int

    def changes_of(self, programme_id: str) -> list[tuple[int, Change]]:
        """Return the changes that are not another programme's own."""
        return [
            (nth, each) for nth, each in self.changes if getattr(each, "programme_id", None) in {None, programme_id}
        ]


@dataclass(frozen=True)
class Read:
    """Everything that one snapshot says of a programme."""

    facts: Facts
    shapes: Shapes
    nodes: Mapping[str, Node]
    firms: Mapping[str, Mapping[str, Any]]
    drawdowns: Sequence[Open]


class Links:
    """Who trades with whom, read once a currency."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._known: dict[str, Sequence[Mapping[str, Any]]] = {}

    async def of(self, tx: Transaction, currency: str) -> Sequence[Mapping[str, Any]]:
        """Return the links of a currency."""
        if currency not in self._known:
            self._known[currency] = await read_links(tx, currency=currency)
        return self._known[currency]


async def read_scope(tx: Transaction, asked: Asked, links: Links, *, most_lines: int, most_programmes: int) -> Scope:
    """Return whom it concerns; UnknownProgramme, NotSupposable or WhatIfTooLarge when there is no answer."""
    changes = await _with_groups(tx, asked.changes)
    backing = await read_backing(tx, changes)
    if unknown := [nth for nth, each in changes if isinstance(each, Covered) and not backing.knows(each.cover_id)]:
        raise NotSupposable(nth=unknown[0], reason=NO_COVER)
    named = {each.programme_id for _, each in changes if isinstance(each, Limited | Joined | Deepened)}
    if asked.programme_ids is None:
        for nth, each in changes:
            if isinstance(each, Limited | Joined | Deepened) and each.programme_id is None:
                raise NotSupposable(nth=nth, reason="say of which programme")
        wanted = {each for each in named if each is not None} | await _concerned(tx, changes, links)
        wanted |= await reached(tx, changes, backing)
    else:
        wanted = set(asked.programme_ids)
        for nth, each in changes:
            if getattr(each, "programme_id", None) not in {None, *wanted}:
                raise NotSupposable(nth=nth, reason="its programme is not among those asked for")
    today: date = await tx.pg.fetchval(_TODAY)
    programmes = await tx.pg.fetch(_PROGRAMMES, sorted(wanted), today)
    for missing in sorted(wanted - {row["programme_id"] for row in programmes}):
        raise UnknownProgramme(programme_id=missing)
    lines = await tx.pg.fetchval(_COUNT, sorted(wanted))
    if lines > most_lines or len(wanted) > most_programmes:
        raise WhatIfTooLarge(
            lines=lines, most_lines=most_lines, programmes=len(wanted), most_programmes=most_programmes
        )
    return Scope(programmes, changes, backing, lines)


async def _with_groups(tx: Transaction, changes: Sequence[Change]) -> list[tuple[int, Change]]:
    """Return the changes with their numbers; what a whole group suffers, as each member's."""
    whole = {each.firm_id for each in changes if isinstance(each, Rated | Failed) and each.whole_group}
    rows = await tx.pg.fetch(_GROUPS, sorted(whole)) if whole else []
    found: list[tuple[int, Change]] = []
    for nth, each in enumerate(changes, start=1):
        if isinstance(each, Rated | Failed) and each.whole_group:
            members = {row["enterprise_id"] for row in rows if row["group_head_id"] == each.firm_id} | {each.firm_id}
            found += [(nth, replace(each, firm_id=member)) for member in sorted(members)]
        else:
            found.append((nth, each))
    return found


async def _concerned(tx: Transaction, changes: Iterable[tuple[int, Change]], links: Links) -> set[str]:
    """Return the programmes in which a firm of the changes is anchor, heads the group, has a line, or passes trade on.

    A cap or an amount is of one currency, so it concerns programmes of that one only.
    """
    found: set[str] = set()
    for _, each in changes:
        if isinstance(each, Rated):
            currency = each.cap.currency if each.cap else None
            found |= {row[0] for row in await tx.pg.fetch(_CONCERNED, [each.firm_id], currency)}
        elif isinstance(each, Failed):
            found |= {row[0] for row in await tx.pg.fetch(_CONCERNED, [each.firm_id], None)}
    upstream = {each.firm_id for _, each in changes if isinstance(each, Failed)}
    downstream = set(upstream)
    upstream |= {each.buyer_id for _, each in changes if isinstance(each, Traded)}
    downstream |= {each.supplier_id for _, each in changes if isinstance(each, Traded)}
    if upstream:
        currencies = await tx.pg.fetch("SELECT DISTINCT currency FROM programme ORDER BY currency")
        for (currency,) in currencies:
            found |= await _reached(tx, currency, await links.of(tx, currency), upstream, downstream)
    return found


async def _reached(
    tx: Transaction,
    currency: str,
    links: Sequence[Mapping[str, Any]],
    upstream: Collection[str],
    downstream: Collection[str],
) -> set[str]:
    """Return the programmes to whose anchors trade leads from these firms, within as many steps as tiers can be."""
    pairs = [(link["supplier_id"], link["buyer_id"]) for link in links]
    anchors = _ahead(upstream, pairs) | _ahead(downstream, [(buyer, supplier) for supplier, buyer in pairs])
    rows = await tx.pg.fetch(_ANCHORS, currency, sorted(anchors))
    return {row["programme_id"] for row in rows}


def _ahead(firms: Collection[str], pairs: Iterable[tuple[str, str]]) -> set[str]:
    following: dict[str, list[str]] = {}
    for firm, neighbour in pairs:
        following.setdefault(firm, []).append(neighbour)
    seen, front = set(firms), list(firms)
    for _ in range(_LONGEST_WAY):
        front = [each for firm in front for each in following.get(firm, ()) if each not in seen]
        seen.update(front)
        if not front:
            break
    return seen


async def read_programme(tx: Transaction, row: Mapping[str, Any], scope: Scope, links: Links) -> Read:
    """Return everything that a programme's what-if stands on."""
    facts = await read_facts(tx, row, links=await links.of(tx, row["currency"]))
    line_ids = [each["line_id"] for each in facts.rows]
    agreed = ProgrammeTerms.model_validate(row["terms"])
    shapes = Shapes(await read_rows(tx, line_ids=line_ids, with_terms=False), agreed)
    nodes = await _nodes(tx, shapes.nodes().union(node_id for _, node_id in facts.nodes()))
    waiting = [line_id for line_id in line_ids if _held(nodes, line_id)]
    drawn = await tx.pg.fetch(_OPEN, row["programme_id"], waiting)
    nodes |= await _nodes(tx, {node_id for each in drawn for node_id in each["node_ids"]} - nodes.keys())
    nodes |= {node_id: node for node_id, node in scope.backing.pairs.items() if node_id not in nodes}
    pair_of = {each["line_id"]: pair_of_line(each, row) for each in facts.rows}
    drawdowns = [_open(each, pair=pair_of[each["line_id"]], pairs=scope.backing.pairs) for each in drawn]
    firm_ids = {each["enterprise_id"] for each in facts.rows} | {each.obligor_id for each in drawdowns}
    firm_ids |= {row["anchor_id"], row["group_head_id"]}
    joining = sorted({each.firm_id for _, each in scope.changes if isinstance(each, Joined)})
    return Read(
        facts,
        shapes,
        nodes,
        await _firms(tx, firm_ids, joining, facts.terms.currency),
        drawdowns,
    )


async def _nodes(tx: Transaction, node_ids: Collection[str]) -> dict[str, Node]:
    rows = await tx.pg.fetch(_NODES, list(node_ids))
    return {row["node_id"]: Node(*row) for row in rows}


def _held(nodes: Mapping[str, Node], line_id: str) -> bool:
    node = nodes.get(f"line/{line_id}")
    return node is not None and node.held > 0


async def _firms(
    tx: Transaction, firm_ids: Collection[str], joining: Sequence[str], currency: str
) -> dict[str, Mapping[str, Any]]:
    rows = await tx.pg.fetch(_FIRMS, sorted({*firm_ids, *joining}), currency)
    found: dict[str, Mapping[str, Any]] = {row["enterprise_id"]: row for row in rows}
    if joining:
        used = {row["enterprise_id"]: row["used"] for row in await tx.pg.fetch(_USED, joining, currency)}
        found |= {firm_id: {**found[firm_id], "used": used.get(firm_id, 0)} for firm_id in joining}
    return found


def pair_of_line(row: Mapping[str, Any], programme: Mapping[str, Any]) -> str:
    """Return the node that the seller and the obligor of a line's documents would have if a limit were set."""
    firm, anchor = row["enterprise_id"], programme["anchor_id"]
    seller, obligor = (firm, anchor) if row["direction"] == "upstream" else (anchor, firm)
    return pair_node(seller_id=seller, obligor_id=obligor, currency=programme["currency"])


def _open(row: Mapping[str, Any], *, pair: str, pairs: Collection[str]) -> Open:
    # A first limit of a pair would be on the paths of what is open: see operations/bring_in.py.
    brought = [pair] if pair in pairs and row["has_documents"] and pair not in row["node_ids"] else []
    return Open(
        drawdown_id=row["drawdown_id"],
        line_id=row["line_id"],
        programme_id=row["programme_id"],
        firm_id=row["enterprise_id"],
        obligor_id=row["obligor_id"],
        waits=row["state"] in {"held", "referred", "approved"},
        is_loan=row["form"] == "loan",
        exposure=row["exposure_minor"],
        used=row["used_minor"],
        maturity_date=row["maturity_date"],
        node_ids=(*row["node_ids"], *brought),
    )
