"""Match invoices with their orders and deliveries, and say how they stand, whenever one of the three is new."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.receivables.domain.deliveries import counted
from services.receivables.domain.documents import LONGEST_NUMBER
from services.receivables.domain.matching import (
    NOTHING_BEFORE,
    Match,
    Ordered,
    Tolerances,
    delivered_by_line,
    match,
    took,
)
from services.receivables.domain.orders import State, confirmer_of
from services.receivables.domain.trade_lines import TradeLine, stored_line
from services.receivables.operations.locking import Row, find_orders, lock_orders
from shared.events.receivables import ReceivableMatched
from shared.messaging.outbox import append
from shared.storage.database import Transaction, by_column
from shared.values.policies import Policy, policy_on
from shared.values.rates import parse_rate

Claim = tuple[str, str, str]
_CITE = """
INSERT INTO citation (receivable_id, buyer_id, seller_id, number_key, lines)
SELECT receivable_id, buyer_id, seller_id, number_key, lines::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS d(receivable_id, buyer_id, seller_id, number_key, lines)
"""
# Every invoice of the orders, in the order in which they came; what was rejected or cancelled takes nothing.
CITING = """
SELECT o.order_id, c.receivable_id, c.lines, c.status, c.reasons, c.line_matches, c.is_financeable, r.payable_minor,
    r.currency
FROM trade_order o JOIN citation c USING (buyer_id, seller_id, number_key) JOIN receivable r USING (receivable_id)
WHERE o.order_id = ANY($1) AND r.state NOT IN ('rejected', 'cancelled') ORDER BY c.receivable_id
"""
_DELIVERED = "SELECT order_id, kind, lines FROM delivery WHERE order_id = ANY($1) ORDER BY delivery_id"
# An anchor's programmes agree on how it matches, or the first of them says so.
_POLICIES = """
SELECT DISTINCT ON (anchor_id) anchor_id, matching_policy FROM programme WHERE anchor_id = ANY($1) AND active
ORDER BY anchor_id, programme_id
"""
_KEEP = """
UPDATE citation c SET status = d.status, reasons = string_to_array(d.reasons, ','), line_matches = d.lines::jsonb,
    is_financeable = d.is_financeable, policy_version = d.version, matched_at = clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[])
    AS d(receivable_id, status, reasons, lines, is_financeable, version)
WHERE c.receivable_id = d.receivable_id
"""
_REFER = """
UPDATE receivable SET state = 'referred', reasons = reasons || ARRAY[$2::text] WHERE receivable_id = ANY($1)
    AND state IN ('validated', 'referred')
"""
_STANDARD = "matching"
UNMATCHED = "unmatched_with_order"
Changed = tuple[Row, Match, bool, Policy]


@dataclass(frozen=True, slots=True)
class Citation:
    """An invoice that cites an order: by buyer, seller and the order's number; its own lines."""

    receivable_id: str
    claim: Claim
    lines: tuple[TradeLine, ...]


@dataclass(frozen=True, slots=True)
class CitedOrders:
    """What matching new invoices found: what is to be said of it, and which of them their policy refers."""

    said: Sequence[ReceivableMatched] = ()
    referred: frozenset[str] = frozenset()


async def cite_orders(tx: Transaction, citations: Sequence[Citation]) -> CitedOrders:
    """Keep which orders new invoices cite, match those that stand, and let wait what their policy refers.

    What is longer than any order's number names none: some list several orders there, some write a letter.
    """
    citations = [each for each in citations if len(each.claim[-1]) <= LONGEST_NUMBER]
    if not citations:
        return CitedOrders()
    rows = [(each.receivable_id, *each.claim, _stored(each.lines)) for each in citations]
    await tx.pg.execute(_CITE, *by_column(rows, width=5))
    changed = await _match_orders(tx, [each.claim for each in citations])
    new = {each.receivable_id for each in citations}
    referred = {
        row["receivable_id"]
        for row, made, _, policy in changed
        if row["receivable_id"] in new and made.status in policy.values["refer"]
    }
    await tx.pg.execute(_REFER, sorted(referred), UNMATCHED)
    return CitedOrders(_said(changed), frozenset(referred))


async def match_again(tx: Transaction, *, receivable_ids: Collection[str]) -> None:
    """Match the orders that receivables cite: what they took is free again. The orders are locked before."""
    rows = await tx.pg.fetch(
        "SELECT DISTINCT buyer_id, seller_id, number_key FROM citation WHERE receivable_id = ANY($1)",
        list(receivable_ids),
    )
    if rows:
        await match_orders(tx, [tuple(row) for row in rows])


async def match_orders(tx: Transaction, claims: Collection[Claim]) -> None:
    """Match every invoice of the confirmed orders under these claims; say what has changed."""
    await append(tx, _said(await _match_orders(tx, claims)), source="receivables")


async def _match_orders(tx: Transaction, claims: Collection[Claim]) -> list[Changed]:
    found = await find_orders(tx, claims)
    if not found:
        return []
    locked = await lock_orders(tx, [row["order_id"] for row in found])
    orders = {key: row for key, row in locked.items() if row["state"] not in {State.REGISTERED, State.REJECTED}}
    deliveries = await tx.pg.fetch(_DELIVERED, list(orders))
    policies = await _policies(tx, orders.values())
    citing: dict[str, list[Row]] = defaultdict(list)
    for row in await tx.pg.fetch(CITING, list(orders)):
        citing[row["order_id"]].append(row)
    changed: list[Changed] = []
    for order_id, rows in citing.items():
        mine = [each for each in deliveries if each["order_id"] == order_id]
        policy = policies[order_id]
        for row, made in zip(rows, _match_all(orders[order_id], mine, rows, policy), strict=True):
            is_financeable = made.status in policy.values["financeable"]
            if _kept(made, is_financeable) != _before(row):
                changed.append((row, made, is_financeable, policy))
    await _keep(tx, changed)
    return changed


async def not_financeable(tx: Transaction, receivable_ids: Collection[str]) -> set[str]:
    """Return which receivables do not match their order well enough to be financed, by the policy of their match."""
    rows = await tx.pg.fetch(
        "SELECT receivable_id FROM citation WHERE receivable_id = ANY($1) AND NOT is_financeable", list(receivable_ids)
    )
    return {row["receivable_id"] for row in rows}


def _match_all(order: Row, deliveries: Sequence[Row], rows: Sequence[Row], policy: Policy) -> list[Match]:
    """Return how each invoice of an order stands, one after the other."""
    values = policy.values
    ordered = Ordered(_lines(order["lines"]), order["amount_minor"], order["currency"])
    by_kind: dict[str, list[TradeLine]] = {}
    for each in deliveries:
        by_kind.setdefault(each["kind"], []).extend(_lines(each["lines"]))
    lines = counted(by_kind.get("despatch"), by_kind.get("receipt"), despatch_counts=values["despatch_counts"])
    delivered = None if lines is None else delivered_by_line(ordered, lines)
    tolerances = Tolerances(
        quantity=parse_rate(values["quantity"]),
        price=parse_rate(values["price"]),
        amount=parse_rate(values["amount"]),
        needs_delivery=values["needs_delivery"],
    )
    before, made = NOTHING_BEFORE, []
    for row in rows:
        facts: dict[str, Any] = {"lines": _lines(row["lines"]), "amount_minor": row["payable_minor"]}
        made.append(match(ordered, delivered, **facts, currency=row["currency"], tolerances=tolerances, before=before))
        before = took(ordered, before, **facts)
    return made


async def _policies(tx: Transaction, orders: Iterable[Row]) -> dict[str, Policy]:
    """Return by which policy each order is matched: its anchor's programme's, as it is in force on the open day."""
    anchors = {
        row["order_id"]: confirmer_of(side=row["side"], seller_id=row["seller_id"], buyer_id=row["buyer_id"])
        for row in orders
    }
    rows = await tx.pg.fetch(_POLICIES, sorted(set(anchors.values())))
    names = {row["anchor_id"]: row["matching_policy"] for row in rows}
    today = await tx.pg.fetchval("SELECT coalesce((SELECT open_date FROM book), current_date)")
    return {key: policy_on(names.get(anchor, _STANDARD), on=today) for key, anchor in anchors.items()}


async def _keep(tx: Transaction, changed: Sequence[Changed]) -> None:
    rows = [
        (row["receivable_id"], made.status, ",".join(made.reasons), _wire(made), is_financeable, policy.version)
        for row, made, is_financeable, policy in changed
    ]
    await tx.pg.execute(_KEEP, *by_column(rows, width=6))


def _said(changed: Sequence[Changed]) -> list[ReceivableMatched]:
    return [
        ReceivableMatched(
            receivable_id=row["receivable_id"],
            order_id=row["order_id"],
            status=made.status,
            reasons=sorted({*made.reasons, *(reason for line in made.lines for reason in line.reasons)}),
            lines=len(made.lines),
            matched_lines=sum(line.status == "matched" for line in made.lines),
            is_financeable=is_financeable,
        )
        for row, made, is_financeable, _ in changed
    ]


def _kept(made: Match, is_financeable: bool) -> tuple[Any, ...]:  # noqa: FBT001 - private
    return made.status, list(made.reasons), json.loads(_wire(made)), is_financeable


def _before(row: Row) -> tuple[Any, ...]:
    return row["status"], list(row["reasons"]), row["line_matches"], row["is_financeable"]


def _wire(made: Match) -> str:
    return json.dumps([asdict(each) for each in made.lines], ensure_ascii=False)


def _stored(lines: Sequence[TradeLine]) -> str:
    return json.dumps([each.stored() for each in lines], ensure_ascii=False)


def _lines(kept: Sequence[Mapping[str, Any]]) -> tuple[TradeLine, ...]:
    return tuple(stored_line(each) for each in kept)
