"""Why a line can draw what it can: the whole derivation, node by node, as data and as text (DOMAIN §3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, ClassVar

from services.credit.domain.blocks import Blocked
from services.credit.domain.explaining import Base, Covered, Derivation, Language, explain
from services.credit.domain.limits import Node, binding
from services.credit.domain.offers import Terms
from services.credit.domain.paths import Level
from services.credit.queries.bases import read_base
from services.credit.queries.blocks import blocked_out, blocks_of
from services.credit.queries.past import closing_instant, read_past
from services.credit.queries.reading import line_out, node_out, read_line
from shared.runtime.clock import database_now
from shared.storage.database import Database
from shared.values.money import Money
from shared.values.rates import rate_text

_TODAY = "SELECT coalesce((SELECT open_date FROM book), current_date)"


class InstantToCome(ValueError):
    """An explanation was asked as of an instant, or the end of a business date, that is still to come."""

    code: ClassVar[str] = "instant_to_come"

    def __init__(self, *, asked: str) -> None:
        """Keep what was asked."""
        self.asked = asked
        super().__init__(f"{asked} is not a past instant, nor a business date that was open and is over.")


async def explanation(
    database: Database,
    *,
    line_id: str,
    whole: bool,
    language: Language,
    as_of: datetime | None = None,
    on: date | None = None,
) -> dict[str, Any]:
    """Return the derivation of a line's available amount, node by node, as data and as text.

    It is today's, or that of a past instant, or of the last instant of a business date that is over. Unless it is
    shown whole, a node that others share tells only what it leaves available (R23).
    """
    async with database.snapshot() as tx:
        now = await database_now(tx)
        if on is not None:
            as_of = await closing_instant(tx, on=on)
            if as_of is None:
                raise InstantToCome(asked=on.isoformat())
        if as_of is None:
            row, terms, nodes = await read_line(tx, line_id=line_id)
            today = await tx.pg.fetchval(_TODAY)
        elif as_of > now:
            raise InstantToCome(asked=as_of.isoformat())
        else:
            row, terms, nodes, today = await read_past(tx, line_id=line_id, as_of=as_of)
        base = await read_base(tx, terms, today=today, as_of=as_of)
        blocks = await blocks_of(tx, row, as_of=as_of or now) if whole else []
    found = told(row, terms, nodes, base, whole=whole, language=language, blocks=blocks)
    return {**found, "as_of": as_of or now, "business_date": today}


def told(
    row: Mapping[str, Any],
    terms: Terms,
    nodes: Mapping[str, Node],
    base: Base | None,
    *,
    whole: bool,
    language: Language,
    blocks: Sequence[Blocked] = (),
) -> dict[str, Any]:
    """Return a derivation as data and as text."""
    currency = row["currency"]
    derived = Derivation(
        name=row["enterprise_name"],
        currency=currency,
        direction=row["direction"],
        tier=row["tier"] or 0,
        volume=row["volume_minor"],
        weight=row["weight"],
        floor=row["floor_minor"],
        ceiling=row["ceiling_minor"],
        bounds=row["bounds"],
        reserved=row["reserved_minor"],
        cap=row["cap_minor"],
        available=binding(nodes, terms.path).available,
        binding=binding(nodes, terms.path).node_id,
        path=terms.path,
        nodes=nodes,
        own=frozenset(Level) if whole else frozenset({Level.LINE, Level.SME, Level.PRODUCT, Level.PAIR}),
        reasons=terms.not_drawable,
        base=base,
        blocks=blocks,
        cover=None if terms.support is None else Covered(terms.support.most, terms.support.room(nodes)),
    )
    return {
        "line_id": row["line_id"],
        "language": language,
        "text": "\n".join(explain(derived, language=language)),
        "line": line_out(row, terms, nodes),
        "nodes": _nodes_out(derived),
        "propagation": _propagation_out(derived, row["policy_version"]),
        "base": None if base is None else _base_out(base, currency),
        "blocks": [blocked_out(each) for each in blocks],
        "cover": None if derived.cover is None else _cover_out(derived.cover, currency),
    }


def _cover_out(cover: Covered, currency: str) -> dict[str, Any]:
    return {"most": Money(cover.most, currency).wire(), "left": Money(cover.left, currency).wire()}


def _nodes_out(derived: Derivation) -> list[dict[str, Any]]:
    found = []
    for step in derived.path:
        shown = {**node_out(derived.nodes[step.node_id], step.level, derived.currency), "share": rate_text(step.share)}
        seen = shown if step.level in derived.own else {name: shown[name] for name in _SHARED}
        found.append(seen)
    return found


_SHARED = ("node_id", "level", "share", "available")


def _propagation_out(derived: Derivation, policy_version: str) -> dict[str, Any]:
    def amount(minor: int) -> dict[str, str]:
        return Money(minor, derived.currency).wire()

    return {
        "volume": amount(derived.volume),
        "weight": derived.weight,
        "floor": amount(derived.floor),
        "ceiling": amount(derived.ceiling),
        "bounds": {name: amount(minor) for name, minor in derived.bounds.items()},
        "reserved": amount(derived.reserved),
        "cap": amount(derived.cap),
        "policy_version": policy_version,
    }


def _base_out(base: Base, currency: str) -> dict[str, Any]:
    return {
        "documents": base.documents,
        "eligible": Money(base.eligible, currency).wire(),
        "advance_rate": rate_text(base.advance_rate),
        "carries": Money(base.carries, currency).wire(),
    }
