"""What limit nodes carried at a past instant: what they carry now, less what happened since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.credit.domain.limits import Node
from services.credit.domain.paths import Step

# The last of these that was said of a drawdown tells what its path carries; others say nothing of amounts.
HOLDS = frozenset({"drawdown.held.v1", "drawdown.referred.v1", "drawdown.approved.v1"})
CANCELS, RELEASES = "drawdown.cancellation_requested.v1", "drawdown.released.v1"
USES, REPAYS, ENDS = "drawdown.utilised.v1", "drawdown.reinstated.v1", "drawdown.repaid.v1"
TELLING = (*sorted(HOLDS), CANCELS, RELEASES, USES, REPAYS, ENDS)
# What is called for beside a loan moves nothing of what its path carries.
SILENT = ("drawdown.top_up_due.v1", "drawdown.top_up_ended.v1")


@dataclass(frozen=True, slots=True)
class Carried:
    """What a drawdown's path carries of it: held, utilised, in minor units."""

    held: int = 0
    utilised: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """A drawdown with its path, and what it carried at a past instant and carries now."""

    path: tuple[Step, ...]
    then: Carried
    now: Carried


def carried(last: str | None, *, exposure: int, disbursed: int, outstanding: int) -> Carried:
    """Return what a path carries after the last telling event; nothing before the first.

    `outstanding` is the principal that a repayment left open: a purchase's face shrinks in proportion (R11).
    """
    if last in HOLDS or last == CANCELS:
        return Carried(held=exposure)
    if last == USES:
        return Carried(utilised=exposure)
    if last == REPAYS:
        return Carried(utilised=exposure * outstanding // disbursed if disbursed else 0)
    return Carried()


def undo(nodes: Mapping[str, Node], moved: Iterable[Moved], *, sanctioned: Mapping[str, int]) -> dict[str, Node]:
    """Return nodes as they stood: sanctioned what they were, and without what moved since."""
    found = {
        node_id: Node(node_id, sanctioned.get(node_id, 0), node.held, node.utilised) for node_id, node in nodes.items()
    }
    for each in moved:
        for step in each.path:
            node = found.get(step.node_id)
            if node is not None:
                node.held += step.carries(each.then.held) - step.carries(each.now.held)
                node.utilised += step.carries(each.then.utilised) - step.carries(each.now.utilised)
    return found
