"""What cover carries of a line's loans beside their documents: the limit nodes that make each yuan count once (R10).

The node of the firm carries what all its loans are above their documents, on any line. Where some of the cover secures
only certain lines, each of those has a node of its own too, and what one line may still take follows from the flow of
all the lines' uses into the covers: exact, however the sets of lines overlap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from services.credit.domain.covers import Cover, Need, allocate, overdrawn
from services.credit.domain.limits import LimitExceeded, Node
from services.credit.domain.paths import Level, Step, cover_line_node, cover_node
from shared.values.money import Money

_ANY_LINE = ""


@dataclass(frozen=True, slots=True)
class Support:
    """A firm's registered cover as one of its lines may use it, each with what it is worth on a day.

    `version` is the firm's node's, as it was read with the rest.
    """

    enterprise_id: str
    currency: str
    line_id: str
    covers: tuple[Cover, ...]
    values: Mapping[str, int]
    version: int

    @property
    def node_id(self) -> str:
        """Return the node of the firm."""
        return cover_node(enterprise_id=self.enterprise_id, currency=self.currency)

    @property
    def node_ids(self) -> frozenset[str]:
        """Return every node that what the line may use follows from."""
        return frozenset({self.node_id, *self._line_nodes.values()})

    @property
    def most(self) -> int:
        """Return what secures the line if no other loan used any."""
        return secured_on(self.covers, self.values, line_id=self.line_id)

    @property
    def _line_nodes(self) -> dict[str, str]:
        return {
            line_id: cover_line_node(enterprise_id=self.enterprise_id, currency=self.currency, line_id=line_id)
            for line_id in named_lines(self.covers)
        }

    def steps(self, *, above: int) -> tuple[Step, ...]:
        """Return the steps of a loan of which the documents carry `above`, in minor units, and cover the rest."""
        firm = Step(Level.COVER, self.node_id, above=above)
        own = self._line_nodes.get(self.line_id)
        return (firm,) if own is None else (firm, Step(Level.COVER, own, above=above))

    def room(self, nodes: Mapping[str, Node]) -> int:
        """Return what the line's next loan could still use, the nodes as they stand."""
        firm, shared = nodes[self.node_id], self.shared(nodes, names=frozenset({self.line_id}))
        return firm.available if shared is None else min(firm.available, shared.room({self.line_id}))

    def shared(self, nodes: Mapping[str, Node], *, names: frozenset[str]) -> SharedCover | None:
        """Return how lines of the firm share what secures them; None when all of it secures any line."""
        firm, named = nodes[self.node_id], self._line_nodes
        if not named:
            return None
        used = {line_id: nodes[node_id].held + nodes[node_id].utilised for line_id, node_id in named.items()}
        used[_ANY_LINE] = firm.held + firm.utilised - sum(used.values())
        return SharedCover(self.covers, self.values, used, names)

    def check(self, nodes: Mapping[str, Node], *, minor: int, requested: Money) -> None:
        """Refuse what other loans leave no cover for; LimitExceeded names the line's node, or the firm's."""
        room = self.room(nodes)
        if minor > room:
            node_id = self._line_nodes.get(self.line_id, self.node_id)
            raise LimitExceeded(binding_node=node_id, available=Money(room, requested.currency), requested=requested)


@dataclass(frozen=True, slots=True)
class SharedCover:
    """Cover of which some secures certain lines only, what the loans of each line use, and which lines would draw."""

    covers: Sequence[Cover]
    values: Mapping[str, int]
    used: Mapping[str, int]
    names: frozenset[str]

    def room(self, names: Collection[str]) -> int:
        """Return what the next loans of some of the lines could use together."""
        needs = [Need(line_id, line_id, minor) for line_id, minor in self.used.items()]
        return allocate(self.covers, self.values, needs).support(self.covers, line_ids=sorted(names))

    def overdrawn(self, taken: Mapping[str, Fraction]) -> frozenset[str]:
        """Return lines that would take together more than their room; none when all can have what they take."""
        scale = lcm(*(minor.denominator for minor in taken.values()))
        values = {cover_id: minor * scale for cover_id, minor in self.values.items()}
        before = [Need(line_id, line_id, minor * scale) for line_id, minor in self.used.items()]
        used = allocate(self.covers, values, before)
        needs = [Need(each.drawdown_id, each.line_id, used.of_loan(each.drawdown_id)) for each in before]
        needs += [Need(f"next on {line_id}", line_id, int(minor * scale)) for line_id, minor in sorted(taken.items())]
        return frozenset(taken) & overdrawn(self.covers, values, needs)


def on_cover(path: Iterable[Step], exposure_minor: int) -> int:
    """Return what the firm's cover carries of an exposure on this path."""
    return max((step.carries(exposure_minor) for step in path if step.level is Level.COVER), default=0)


def named_lines(covers: Iterable[Cover]) -> list[str]:
    """Return the lines that some cover secures and not others."""
    return sorted({line_id for cover in covers for line_id in cover.line_ids or ()})


def secured_on(covers: Iterable[Cover], values: Mapping[str, int], *, line_id: str) -> int:
    """Return what all covers that secure a line carry together."""
    return sum(values[cover.cover_id] for cover in covers if cover.secures(line_id))
