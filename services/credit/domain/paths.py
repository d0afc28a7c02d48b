"""The limit nodes on a drawdown's path (DOMAIN §3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from shared.values.rates import MILLION, share_of


class Level(IntEnum):
    """Where a node stands; nodes are locked by level, then id: root first."""

    GROUP = 0
    OBLIGOR = 1
    PROGRAMME = 2
    DIRECTION = 3
    TIER = 4
    SME = 5
    LINE = 6
    PRODUCT = 7
    COVER = 8
    PAIR = 9


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a path and the share of the exposure, in millionths, that it carries.

    What is not above `above`, in minor units, something else carries: the documents, where the node is cover.
    """

    level: Level
    node_id: str
    share: int = MILLION
    above: int = 0

    def carries(self, exposure_minor: int) -> int:
        """Return what the node carries of an exposure, rounded down."""
        if self.above:
            exposure_minor = max(0, exposure_minor - self.above)
        if self.share == MILLION:
            return exposure_minor
        return share_of(amount=exposure_minor, millionths=self.share)

    def stored(self) -> list[int | str]:
        """Return the step as a drawdown stores it: level, node, share, and from where on it carries."""
        step: list[int | str] = [int(self.level), self.node_id, self.share]
        return [*step, self.above] if self.above else step


def stored_path(steps: Sequence[Sequence[Any]]) -> tuple[Step, ...]:
    """Return a path as it was stored."""
    return tuple(Step(Level(step[0]), *step[1:]) for step in steps)


def group_node(*, enterprise_id: str, currency: str) -> str:
    """Return the id of an anchor group's node: its head's, per currency."""
    return f"group/{enterprise_id}/{currency}"


def obligor_node(*, enterprise_id: str, currency: str) -> str:
    """Return the id of the node of whoever owes."""
    return f"obligor/{enterprise_id}/{currency}"


def sme_node(*, enterprise_id: str, currency: str) -> str:
    """Return the id of a seller's own cap, held with recourse."""
    return f"sme/{enterprise_id}/{currency}"


def programme_node(*, programme_id: str) -> str:
    """Return the id of a programme's node."""
    return f"programme/{programme_id}"


def direction_node(*, programme_id: str, direction: str) -> str:
    """Return the id of a direction's sub-limit."""
    return f"direction/{programme_id}/{direction}"


def tier_node(*, programme_id: str, direction: str, tier: int) -> str:
    """Return the id of a tier's node."""
    return f"tier/{programme_id}/{direction}/{tier}"


def line_node(*, line_id: str) -> str:
    """Return the id of a line's node."""
    return f"line/{line_id}"


def product_node(*, line_id: str, product: str) -> str:
    """Return the id of what a product with a quota of its own may be of a line."""
    return f"product/{line_id}/{product}"


def cover_node(*, enterprise_id: str, currency: str) -> str:
    """Return the id of what all of a firm's cover carries."""
    return f"cover/{enterprise_id}/{currency}"


def cover_line_node(*, enterprise_id: str, currency: str, line_id: str) -> str:
    """Return the id of what cover carries on one line, where some of the firm's cover secures only certain lines."""
    return f"cover/{enterprise_id}/{currency}/{line_id}"


def pair_node(*, seller_id: str, obligor_id: str, currency: str) -> str:
    """Return the id of what is financed of one seller's claims on one obligor."""
    return f"pair/{seller_id}/{obligor_id}/{currency}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands in its programme.

    `alone` is a drawdown on the rating, without a document, or on goods: nobody but the borrower owes. `product` names
    one with a quota of its own, `pair` the node of seller and obligor where a limit is set for the two.
    """

    line_id: str
    programme_id: str
    enterprise_id: str
    group_head_id: str
    direction: str
    tier: int
    currency: str
    recourse: bool
    anchor_support: int
    alone: bool = False
    product: str | None = None
    pair: str | None = None


def path_of(place: Place, *, obligor_id: str) -> tuple[Step, ...]:
    """Return every node that a drawdown on this line over this obligor's debt holds, root first.

    Financing a tier-N document consumes tier N's line, never the lines between. Downstream the anchor's group
    carries only the share that the anchor supports. Without a document the anchor owes nothing upstream: neither it
    nor its group carries any of it, the firm's own cap all; programme and line do, because they share the pool.
    """
    upstream = place.direction == "upstream"
    steps = [
        Step(Level.PROGRAMME, programme_node(programme_id=place.programme_id)),
        Step(Level.DIRECTION, direction_node(programme_id=place.programme_id, direction=place.direction)),
        Step(Level.TIER, tier_node(programme_id=place.programme_id, direction=place.direction, tier=place.tier)),
        Step(Level.LINE, line_node(line_id=place.line_id)),
    ]
    if not (upstream and place.alone):
        steps.append(Step(Level.OBLIGOR, obligor_node(enterprise_id=obligor_id, currency=place.currency)))
    group_share = (0 if place.alone else MILLION) if upstream else place.anchor_support
    if group_share:
        group = group_node(enterprise_id=place.group_head_id, currency=place.currency)
        steps.append(Step(Level.GROUP, group, group_share))
    if place.product:
        steps.append(Step(Level.PRODUCT, product_node(line_id=place.line_id, product=place.product)))
    if upstream and (place.recourse or place.alone):
        steps.append(Step(Level.SME, sme_node(enterprise_id=place.enterprise_id, currency=place.currency)))
    if place.pair and not place.alone:
        steps.append(Step(Level.PAIR, place.pair))
    return tuple(sorted(steps, key=lambda step: (step.level, step.node_id)))
