"""The paths of many lines: thousands of them have a handful of shapes, each made once of the terms of a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.credit.domain.paths import Place, Step, path_of
from services.credit.operations.line_terms import terms_of, why_barred
from services.credit.operations.programme_facts import Facts
from shared.events.onboarding import ProgrammeTerms

# No id looks like these: a path with them is the path of every line that is like it in all else.
_LINE, _FIRM = "{line}", "{firm}"
# What no path follows from: price, record, and whether the line may be drawn.
_UNSEEN = frozenset({
    "line_id", "enterprise_id", "tier", "version", "own_spread", "size_class", "first_drawn_date", "repaid",
    "last_repaid_date", "that_day", "reasons", "drawable", "next_cap_minor", "sme_active", "programme_active",
    "valid_until", "expiry_date", "overdue", "deficient", "anchor_spread", "anchor_known", "line_blocked",
    "firm_blocked",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """A path but for the ids of line and firm, and what its programme does not offer for it.

    `alone` is one of a product without documents, `pledged` one of a product that stands on registered cover.
    """

    shared: tuple[str, ...]
    own: tuple[str, ...]
    lacking: tuple[str, ...] = ()
    alone: bool = False
    pledged: bool = False

    def through(self, node_id: str) -> Shape:
        """Return the shape with one node more, which is the line's own."""
        return replace(self, own=(*self.own, node_id))

    def nodes_of(self, line_id: str, firm_id: str) -> list[str]:
        """Return the nodes of a line's path that are its own or its firm's."""
        return [each.replace(_LINE, line_id).replace(_FIRM, firm_id) for each in self.own]


class Shapes:
    """The shapes of a programme's lines, from the rows that `line_terms` reads of them."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], programme: ProgrammeTerms) -> None:
        """Take the rows; a shape is made when it is first asked for."""
        self._rows = {row["line_id"]: row for row in rows}
        self._programme = programme
        self._known: dict[tuple[Any, ...], Shape] = {}
        self._like: dict[str, tuple[Any, ...]] = {}
        self._seen = [name for name in (rows[0].keys() if rows else ()) if name not in _UNSEEN]

    def of(self, line_id: str, *, tier: int | None) -> Shape:
        """Return the shape of a line, as it would be on a tier."""
        like = self._like.get(line_id)
        if like is None:
            row = self._rows[line_id]
            firm_id = row["enterprise_id"]
            like = self._like[line_id] = tuple(_without(row[name], firm_id) for name in self._seen)
        found = self._known.get((tier or 1, *like))
        if found is None:
            seen = dict(zip(self._seen, like, strict=True))
            row = {**self._rows[line_id], **seen, "line_id": _LINE, "enterprise_id": _FIRM, "tier": tier}
            terms = terms_of(row, self._programme).usual
            lacking = terms.not_drawable[len(why_barred(row)) :]
            found = self._known[tier or 1, *like] = replace(
                _shape(terms.path, lacking),
                alone=not terms.product.documents,
                pledged=terms.product.cover == "pledge",
            )
        return found

    def why_barred(self, line_id: str, *, tier: int | None) -> tuple[str, ...]:
        """Return every reason against drawing on a line as it is."""
        return why_barred(self._rows[line_id]) + self.of(line_id, tier=tier).lacking

    def nodes(self) -> set[str]:
        """Return the nodes of all lines' paths as they are."""
        found: set[str] = set()
        for line_id, row in self._rows.items():
            shape = self.of(line_id, tier=row["tier"])
            found.update(shape.nodes_of(line_id, row["enterprise_id"]))
        return found.union(*(shape.shared for shape in self._known.values()))


def new_shape(facts: Facts, row: Mapping[str, Any], tier: int) -> Shape:
    """Return the shape of a line that is only supposed: documents of the anchor upstream, its own debt downstream."""
    programme = facts.programme
    place = Place(
        line_id=_LINE,
        programme_id=programme["programme_id"],
        enterprise_id=_FIRM,
        group_head_id=programme["group_head_id"],
        direction=row["direction"],
        tier=tier or 1,
        currency=facts.terms.currency,
        recourse=facts.terms.recourse,
        anchor_support=row["anchor_support"],
    )
    return _shape(path_of(place, obligor_id=programme["anchor_id"] if row["direction"] == "upstream" else _FIRM))


def _without(value: Any, firm_id: str) -> Any:
    """Return a value that two lines share when they differ in the firm only."""
    if isinstance(value, str):
        return value.replace(firm_id, _FIRM)
    return tuple(value) if isinstance(value, list) else value


def _shape(path: Sequence[Step], lacking: tuple[str, ...] = ()) -> Shape:
    names = [step.node_id for step in path]
    own = tuple(name for name in names if _LINE in name or _FIRM in name)
    return Shape(tuple(name for name in names if name not in own), own, lacking)
