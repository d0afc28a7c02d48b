"""Appraise goods anew, many at once: when a day is over, when they are valued, when devices say something of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from services.receivables.domain.goods import SECURING
from services.receivables.domain.readings import Bounds, Observed, Watch, bounds_of
from services.receivables.domain.receivables import Executed, Happened, advance_assignment
from services.receivables.domain.valuing_goods import Appraisal, GoodsRules, Lot, Valuation, appraise, goods_rules
from services.receivables.operations.locking import Row, UnknownGoods, lock_goods
from services.receivables.operations.take_documents import SOURCE
from shared.events.envelope import Event
from shared.events.goods import GoodsRevalued
from shared.events.receivables import DocumentsWithdrawn
from shared.messaging.outbox import append
from shared.storage.database import Database, Transaction, by_column
from shared.values.money import Amount
from shared.values.policies import policy_on
from shared.web.auth import ForeignParty

POLICY = "goods"
_BATCH = 500
_SECURING = [state.value for state in SECURING]
_TODAY = "SELECT coalesce((SELECT open_date FROM book), current_date)"
# Every valuation of the last day that has one: which of them counts is a rule.
_VALUATIONS = """
SELECT g.goods_id, v.valued_date, v.unit_value_minor, v.source, v.condition FROM unnest($1::text[]) AS g(goods_id)
CROSS JOIN LATERAL (SELECT max(valued_date) AS valued_date FROM goods_valuation
    WHERE goods_id = g.goods_id AND valued_date <= $2) AS l
CROSS JOIN LATERAL (SELECT * FROM goods_valuation
    WHERE goods_id = g.goods_id AND valued_date = l.valued_date) AS v
"""
_KEEP = """
UPDATE goods g SET value_minor = d.value, eligible_minor = d.eligible, reasons = string_to_array(d.reasons, ','),
    valued_date = d.valued, appraised_date = $7, policy_version = d.version
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::date[], $6::text[])
    AS d(goods_id, value, eligible, reasons, valued, version) WHERE g.goods_id = d.goods_id
"""
_DUE = """
SELECT goods_id FROM goods WHERE state = ANY($1) AND appraised_date < $2 ORDER BY appraised_date, goods_id LIMIT $3
"""
# The assignment is locked before its documents, as everywhere.
_LOCK_ASSIGNMENTS = """
SELECT a.drawdown_id, a.state FROM assignment a WHERE a.drawdown_id = ANY(ARRAY(
    SELECT drawdown_id FROM goods WHERE goods_id = ANY($1) AND drawdown_id IS NOT NULL))
ORDER BY a.drawdown_id FOR UPDATE
"""
_WITHDRAW = """
UPDATE assignment a SET state = 'withdrawn', reason = d.reason
FROM unnest($1::text[], $2::text[]) AS d(drawdown_id, reason) WHERE a.drawdown_id = d.drawdown_id
"""


async def today_of(tx: Transaction) -> date:
    """Return the open business date."""
    found: date = await tx.pg.fetchval(_TODAY)
    return found


async def rules_on(tx: Transaction) -> GoodsRules:
    """Return the policy of goods as it is in force today."""
    return goods_rules(policy_on(POLICY, on=await today_of(tx)))


async def lock_lots(tx: Transaction, goods_ids: Collection[str]) -> dict[str, Row]:
    """Lock goods in id order, after the assignments that they are under; return those that exist."""
    names = sorted(set(goods_ids))
    await tx.pg.fetch(_LOCK_ASSIGNMENTS, names)
    return await lock_goods(tx, names)


def need_lot(found: Mapping[str, Row], goods_id: str, *, party: str | None = None) -> Row:
    """Return one of the locked goods; UnknownGoods, or ForeignParty for another's."""
    row = found.get(goods_id)
    if row is None:
        raise UnknownGoods(goods_id=goods_id)
    if party not in {None, row["owner_id"]}:
        raise ForeignParty
    return row


async def revalue_due(database: Database) -> int:
    """Appraise, batch by batch, whatever secures a loan or can and was not appraised today; return how many."""
    revalued = 0
    while True:
        async with database.transaction() as tx:
            on = await today_of(tx)
            due = [row["goods_id"] for row in await tx.pg.fetch(_DUE, _SECURING, on, _BATCH)]
            rows = await lock_lots(tx, due)
            # Another worker may have done some meanwhile.
            rows = {key: row for key, row in rows.items() if row["appraised_date"] < on}
            await appraise_goods(tx, rows, on=on)
        revalued += len(rows)
        if len(due) < _BATCH:
            return revalued


async def appraise_goods(tx: Transaction, rows: Mapping[str, Row], *, on: date) -> dict[str, Appraisal]:
    """Write what locked goods are worth on a day; tell credit what changed of those that secure, and why.

    Goods that are assigned and not paid for are withdrawn when something is wrong with them (DOMAIN §5).
    """
    found = await appraised(tx, rows, on=on)
    kept = [
        (key, a.value_minor, a.eligible_minor, ",".join(a.reasons), a.valued_date, a.policy_version)
        for key, a in found.items()
    ]
    await tx.pg.execute(_KEEP, *by_column(kept, width=6), on)
    changed = [row for key, row in sorted(rows.items()) if row["state"] in _SECURING and _has_changed(row, found[key])]
    said: list[Event] = [revalued(row, found[row["goods_id"]]) for row in changed]
    said += await _withdraw(tx, changed, found)
    await append(tx, said, source=SOURCE)
    return found


async def appraised(tx: Transaction, rows: Mapping[str, Row], *, on: date) -> dict[str, Appraisal]:
    """Return what goods are worth on a day; nothing is written."""
    if not rows:
        return {}
    rules, series = goods_rules(policy_on(POLICY, on=on)), await _series(tx, list(rows), on=on)
    return {
        key: appraise(lot_of(row), series[key], observed_of(row), rules, on=on) for key, row in sorted(rows.items())
    }


def revalued(row: Row, appraisal: Appraisal) -> GoodsRevalued:
    """Return what is told of goods that are worth something else."""
    currency = row["currency"]
    return GoodsRevalued(
        goods_id=row["goods_id"],
        enterprise_id=row["owner_id"],
        value=Amount.of(amount_minor=appraisal.value_minor, currency=currency),
        eligible=Amount.of(amount_minor=appraisal.eligible_minor, currency=currency),
        reasons=list(appraisal.reasons),
    )


def lot_of(row: Row) -> Lot:
    """Return what of a receipt is pledged still."""
    return Lot(row["goods_class"], row["condition"], row["quantity_milli"] - row["released_milli"])


def observed_of(row: Row) -> Observed:
    """Return what is known of goods by their readings."""
    return Observed(row["measured_milli"], row["measured_at"], row["in_place"], row["place_at"], row["excursion_date"])


def watch_of(row: Row, rules: GoodsRules) -> Watch:
    """Return what readings are judged by: what the pledge agreed on, else the policy of the class."""
    agreed: dict[str, Any] = dict(row["bounds"])
    radius = agreed.pop("radius_m", None) or rules.radius_m
    known = rules.classes.get(row["goods_class"])
    usual = known.bounds if known else Bounds()
    return Watch(usual.within(bounds_of(agreed)), row["latitude"], row["longitude"], radius)


def _has_changed(row: Row, appraisal: Appraisal) -> bool:
    return (row["eligible_minor"], list(row["reasons"])) != (appraisal.eligible_minor, list(appraisal.reasons))


async def _series(tx: Transaction, goods_ids: Sequence[str], *, on: date) -> Mapping[str, list[Valuation]]:
    found: dict[str, list[Valuation]] = defaultdict(list)
    for row in await tx.pg.fetch(_VALUATIONS, goods_ids, on):
        found[row["goods_id"]].append(Valuation(*tuple(row)[1:]))
    return found


async def _withdraw(tx: Transaction, changed: Sequence[Row], found: Mapping[str, Appraisal]) -> list[Event]:
    """Withdraw assignments over goods of which something new is wrong; `lock_lots` has locked them."""
    wrong = {
        row["drawdown_id"]: f"goods: {', '.join(found[row['goods_id']].reasons)}"
        for row in changed
        if row["state"] == "assigned" and set(found[row["goods_id"]].reasons) - set(row["reasons"])
    }
    if not wrong:
        return []
    states = await tx.pg.fetch("SELECT drawdown_id, state FROM assignment WHERE drawdown_id = ANY($1)", sorted(wrong))
    moved = [
        (row["drawdown_id"], wrong[row["drawdown_id"]])
        for row in states
        if isinstance(advance_assignment(row["state"], Happened.WITHDRAWN), Executed)
    ]
    await tx.pg.execute(_WITHDRAW, *by_column(moved, width=2))
    return [DocumentsWithdrawn(drawdown_id=drawdown_id, reason=reason) for drawdown_id, reason in moved]
