"""Whose assignment comes first when a claim was assigned twice (R9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Assignee:
    """Somebody to whom a receivable was assigned."""

    assignee_id: str
    financed_minor: int
    registered_at: datetime | None = None
    notified_at: datetime | None = None


def rank(assignees: Sequence[Assignee]) -> list[Assignee]:
    """Return them in the order of payment: registered first by time, then notified by time, then all the others."""

    def order(each: Assignee) -> tuple[int, datetime]:
        if each.registered_at is not None:
            return 0, each.registered_at
        return (1, each.notified_at) if each.notified_at is not None else (2, _NEVER)

    return sorted(assignees, key=order)


def distribute(assignees: Sequence[Assignee], *, receipt_minor: int) -> dict[str, int]:
    """Return who gets how much of a receipt: each rank in full before the next (Civil Code 768).

    Who is neither registered nor notified shares pro rata by what it financed, rounded down; what is left goes one
    unit each, by id.
    """
    ranked = rank(assignees)
    proven = [each for each in ranked if each.registered_at is not None or each.notified_at is not None]
    others = sorted((each for each in ranked if each not in proven), key=lambda each: each.assignee_id)
    left, paid = receipt_minor, {}
    for each in proven:
        paid[each.assignee_id] = min(left, each.financed_minor)
        left -= paid[each.assignee_id]
    total = sum(each.financed_minor for each in others)
    share = min(left, total)
    for each in others:
        paid[each.assignee_id] = share * each.financed_minor // total if total else 0
    rest = share - sum(paid[each.assignee_id] for each in others)
    for each in others[:rest]:
        paid[each.assignee_id] += 1
    return paid


def discharging_payee(*, notified: bool) -> Literal["seller", "assignee"]:
    """Return whom the obligor must pay to be discharged: the seller before notice, the assignee after (546)."""
    return "assignee" if notified else "seller"
