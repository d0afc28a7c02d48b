"""Pledge goods and give pledges back: two persons of the bank agree, then the movables registry has its say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from services.receivables.domain.goods import GoodsNotValued, State, Step, advance, quantity_text, receipt_asset
from services.receivables.domain.readings import bounds_of
from services.receivables.domain.valuing_goods import Appraisal
from services.receivables.operations.appraise_goods import appraise_goods, lock_lots, need_lot, today_of
from services.receivables.operations.locking import Row
from services.receivables.operations.movables_registry import Filed, FiledBefore, Filing, MovablesRegistry
from services.receivables.operations.register import discharge, register_pledges
from services.receivables.operations.take_documents import SOURCE
from shared.events.envelope import Event
from shared.events.goods import GoodsPledged, GoodsPledgeRefused, GoodsReleased
from shared.messaging.outbox import append
from shared.runtime.clock import database_now
from shared.storage.approvals import Approval, propose
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction, by_column
from shared.values.money import Amount

PLEDGE, RELEASE = "goods_pledge", "goods_release"
_BATCH = 200
_WAITING = """
SELECT goods_id FROM goods WHERE state IN ('agreed', 'releasing') ORDER BY goods_id LIMIT $1
"""
_PLEDGED = """
UPDATE goods g SET state = 'pledged', registry_reference = d.reference, filed_at = d.at, code = NULL, reason = NULL
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS d(goods_id, reference, at) WHERE g.goods_id = d.goods_id
"""
_REFUSED = """
UPDATE goods g SET state = 'registered', code = 'registered_before', reason = d.reason
FROM unnest($1::text[], $2::text[]) AS d(goods_id, reason) WHERE g.goods_id = d.goods_id
"""
_BIND = """
INSERT INTO goods_device (device, goods_id) SELECT d, $2 FROM unnest($1::text[]) AS d ORDER BY d
ON CONFLICT (device) DO NOTHING RETURNING device
"""
# What repayment released wholly was told so then.
_ENDED = """
WITH ended AS (
    SELECT goods_id, released_milli < quantity_milli AS is_news FROM goods
    WHERE drawdown_id = ANY($1) AND state = 'financed' FOR UPDATE)
UPDATE goods g SET state = 'released', released_milli = quantity_milli FROM ended e WHERE g.goods_id = e.goods_id
RETURNING g.goods_id, owner_id, quantity_milli, unit, is_news
"""
_UNBIND = "DELETE FROM goods_device WHERE goods_id = ANY($1)"


class DeviceInUse(ValueError):
    """A device measures other goods: it cannot say how these are."""

    code: ClassVar[str] = "device_in_use"

    def __init__(self, *, device: str) -> None:
        """Keep the device."""
        self.device = device
        super().__init__(f"The device {device!r} measures other goods.")


async def propose_pledge(
    database: Database, *, goods_id: str, devices: Sequence[str], bounds: Mapping[str, Any], actor: str
) -> Approval:
    """Propose to take goods as security: the proposal says what they are worth, and by what they will be watched.

    UnknownGoods, NotPossible, GoodsNotValued, or InvalidReading when a bound is none.
    """
    bounds_of({name: pair for name, pair in bounds.items() if name != "radius_m"})
    async with database.transaction() as tx:
        row = await _valued(tx, goods_id)
        content = {
            "goods_id": goods_id,
            "receipt": row["number"],
            "warehouse": row["warehouse"],
            "value": Amount.of(amount_minor=row["value_minor"], currency=row["currency"]).model_dump(),
            "eligible": Amount.of(amount_minor=row["eligible_minor"], currency=row["currency"]).model_dump(),
            "devices": sorted(set(devices)),
            "bounds": dict(bounds),
        }
        proposal = await propose(tx, kind=PLEDGE, subject=goods_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "goods_pledge.proposed", goods_id, {"hash": proposal.content_hash})])
    return proposal


async def agree_pledge(tx: Transaction, approval: Approval) -> None:
    """Agree on a pledge as it was proposed; the worker files it. GoodsNotValued, NotPossible or DeviceInUse."""
    goods_id, devices = approval.subject, approval.content["devices"]
    await _valued(tx, goods_id)
    bound = {row["device"] for row in await tx.pg.fetch(_BIND, devices, goods_id)}
    for device in devices:
        if device not in bound:
            raise DeviceInUse(device=device)
    await tx.pg.execute(
        "UPDATE goods SET state = $2, bounds = $3::jsonb, code = NULL, reason = NULL WHERE goods_id = $1",
        *(goods_id, State.AGREED.value, json.dumps(approval.content["bounds"])),
    )


async def propose_release(database: Database, *, goods_id: str, reason: str, actor: str) -> Approval:
    """Propose to give a pledge back that no loan stands on; UnknownGoods or NotPossible otherwise."""
    async with database.transaction() as tx:
        row = need_lot(await lock_lots(tx, [goods_id]), goods_id)
        advance(goods_id=goods_id, state=row["state"], asked=Step.GIVE_BACK)
        content = {"goods_id": goods_id, "reason": reason}
        proposal = await propose(tx, kind=RELEASE, subject=goods_id, content=content, proposer=actor)
        await record(tx, [Entry(actor, "goods_release.proposed", goods_id, {"hash": proposal.content_hash})])
    return proposal


async def give_back(tx: Transaction, approval: Approval) -> None:
    """Give a pledge back as it was proposed; the worker discharges it. NotPossible when a loan took it meanwhile."""
    goods_id = approval.subject
    row = need_lot(await lock_lots(tx, [goods_id]), goods_id)
    advance(goods_id=goods_id, state=row["state"], asked=Step.GIVE_BACK)
    await tx.pg.execute(
        "UPDATE goods SET state = $2, reason = $3 WHERE goods_id = $1",
        *(goods_id, State.RELEASING.value, approval.content["reason"]),
    )


async def file_pledges(database: Database, *, registry: MovablesRegistry) -> int:
    """File pledges that were agreed on and discharge those given back, batch by batch; return how many.

    A filing is idempotent by the goods' id: a crash between the registry and the commit finds its own filing.
    """
    filed = 0
    while True:
        async with database.transaction() as tx:
            waiting = [row["goods_id"] for row in await tx.pg.fetch(_WAITING, _BATCH)]
            rows = (await lock_lots(tx, waiting)).values()
            await _file(tx, [row for row in rows if row["state"] == State.AGREED], registry=registry)
            await _discharge(tx, [row for row in rows if row["state"] == State.RELEASING], registry=registry)
        filed += len(waiting)
        if len(waiting) < _BATCH:
            return filed


async def end_pledges(tx: Transaction, drawdown_ids: Sequence[str]) -> list[Row]:
    """End the pledges under loans that are closed, which are locked; return the goods, to be discharged and told."""
    rows: list[Row] = await tx.pg.fetch(_ENDED, list(drawdown_ids))
    await tx.pg.execute(_UNBIND, [row["goods_id"] for row in rows])
    return rows


async def _file(tx: Transaction, rows: Sequence[Row], *, registry: MovablesRegistry) -> None:
    if not rows:
        return
    appraised = await appraise_goods(tx, {row["goods_id"]: row for row in rows}, on=await today_of(tx))
    answers = await registry.file([_filing(row) for row in rows], at=await database_now(tx))
    filed, refused, said = list[tuple[Row, Filed, Amount]](), [], list[Event]()
    for row, answer in zip(rows, answers, strict=True):
        goods_id, firm = row["goods_id"], row["owner_id"]
        if isinstance(answer, FiledBefore):
            reason = f"{answer.asset} is registered already."
            refused.append((goods_id, reason))
            said.append(
                GoodsPledgeRefused(goods_id=goods_id, enterprise_id=firm, code="registered_before", reason=reason)
            )
            continue
        worth = Amount.of(amount_minor=appraised[goods_id].value_minor, currency=row["currency"])
        filed.append((row, answer, worth))
        said.append(_pledged(row, answer, appraised[goods_id]))
    pledged = [(row["goods_id"], each.reference, each.filed_at) for row, each, _ in filed]
    await tx.pg.execute(_PLEDGED, *by_column(pledged, width=3))
    await register_pledges(tx, filed)
    await tx.pg.execute(_REFUSED, *by_column(refused, width=2))
    await tx.pg.execute(_UNBIND, [goods_id for goods_id, _ in refused])
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry("registry", each.type.removesuffix(".v1"), each.subject, {}) for each in said])


async def _discharge(tx: Transaction, rows: Sequence[Row], *, registry: MovablesRegistry) -> None:
    ids = [row["goods_id"] for row in rows]
    if not ids:
        return
    now = await database_now(tx)
    await registry.discharge(ids, at=now)
    await discharge(tx, ids, reason="released", at=now)
    await tx.pg.execute(
        "UPDATE goods SET state = 'released', released_milli = quantity_milli WHERE goods_id = ANY($1)", ids
    )
    await tx.pg.execute(_UNBIND, ids)
    await append(tx, [wholly_released(row) for row in rows], source=SOURCE)
    await record(tx, [Entry("registry", "goods.released", goods_id, {}) for goods_id in ids])


async def _valued(tx: Transaction, goods_id: str) -> Row:
    """Lock goods that can be pledged, appraised as of today."""
    rows = await lock_lots(tx, [goods_id])
    advance(goods_id=goods_id, state=need_lot(rows, goods_id)["state"], asked=Step.AGREE)
    worth = (await appraise_goods(tx, rows, on=await today_of(tx)))[goods_id]
    if worth.valued_date is None:
        raise GoodsNotValued(goods_id=goods_id)
    return {**dict(rows[goods_id]), "value_minor": worth.value_minor, "eligible_minor": worth.eligible_minor}


def wholly_released(row: Row) -> GoodsReleased:
    """Return what is told of goods of which nothing is pledged any more."""
    return GoodsReleased(
        goods_id=row["goods_id"],
        enterprise_id=row["owner_id"],
        released=quantity_text(row["quantity_milli"]),
        left="0",
        unit=row["unit"],
        wholly=True,
    )


def _filing(row: Row) -> Filing:
    asset = receipt_asset(warehouse_key=row["warehouse_key"], number_key=row["number_key"])
    return Filing(row["goods_id"], row["owner_id"], row["owner_id"], (asset,))


def _pledged(row: Row, filed: Filed, worth: Appraisal) -> GoodsPledged:
    currency = row["currency"]
    return GoodsPledged(
        goods_id=row["goods_id"],
        enterprise_id=row["owner_id"],
        item=row["item"],
        warehouse=row["warehouse"],
        receipt_number=row["number"],
        value=Amount.of(amount_minor=worth.value_minor, currency=currency),
        eligible=Amount.of(amount_minor=worth.eligible_minor, currency=currency),
        reasons=list(worth.reasons),
        due_date=row["due_date"],
        registry_reference=filed.reference,
        registered_at=filed.filed_at,
    )
