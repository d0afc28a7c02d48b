"""Record that a notice of assignment reached its obligor, or that the obligor acknowledged it (R9)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from services.receivables.domain.notices import Delivery, check_delivery
from services.receivables.operations.locking import Row
from services.receivables.operations.take_documents import SOURCE
from shared.events.receivables import NoticeDelivered
from shared.messaging.outbox import append
from shared.runtime.clock import database_now
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.web.auth import ForeignParty


class UnknownNotice(LookupError):
    """No notice has this id."""

    code: ClassVar[str] = "unknown_notice"

    def __init__(self, *, notice_id: str) -> None:
        """Keep the id asked for."""
        self.notice_id = notice_id[:40]
        super().__init__(f"There is no notice {self.notice_id}.")


async def record_delivery(database: Database, *, notice_id: str, delivery: Delivery, actor: str) -> None:
    """Record by the bank how a notice reached its obligor; the first delivery stands, the same again changes nothing.

    UnknownNotice, OtherNotice, InvalidDelivery or DeliveredBefore otherwise.
    """
    async with database.transaction() as tx:
        notice = await _lock(tx, notice_id)
        now = await database_now(tx)
        if _check(notice, delivery, now=now):
            await _deliver(tx, notice, delivery, actor=actor)
            await _tell(tx, notice, delivery, acknowledged=False)


async def acknowledge_notice(database: Database, *, notice_id: str, digest: str, party: str, actor: str) -> None:
    """Acknowledge by the obligor the text that it read: with that it has reached it, if nothing said so before.

    UnknownNotice, ForeignParty or OtherNotice otherwise. Acknowledged is acknowledged: again changes nothing.
    """
    async with database.transaction() as tx:
        notice = await _lock(tx, notice_id)
        if notice["obligor_id"] != party:
            raise ForeignParty
        now = await database_now(tx)
        delivery = _delivery_of(notice) or Delivery("platform", now, digest)
        _check(notice, Delivery("platform", now, digest), now=now, first=False)
        if notice["acknowledged_at"] is not None:
            return
        if notice["delivered_at"] is None:
            await _deliver(tx, notice, delivery, actor=actor)
        await tx.pg.execute(
            "UPDATE notice SET acknowledged_at = $2, acknowledged_by = $3 WHERE notice_id = $1", notice_id, now, actor
        )
        await record(tx, [Entry(actor, "notice.acknowledged", notice_id, {"digest": digest})])
        await _tell(tx, notice, delivery, acknowledged=True)


def _check(notice: Row, delivery: Delivery, *, now: datetime, first: bool = True) -> bool:
    return check_delivery(
        delivery,
        notice_id=notice["notice_id"],
        digest=notice["digest"],
        written_at=notice["notified_at"],
        now=now,
        before=_delivery_of(notice) if first else None,
    )


def _delivery_of(notice: Row) -> Delivery | None:
    if notice["delivered_at"] is None:
        return None
    return Delivery(notice["means"], notice["delivered_at"], notice["digest"], notice["proof"], notice["proof_sha256"])


async def _lock(tx: Transaction, notice_id: str) -> Row:
    row: Row | None = await tx.pg.fetchrow("SELECT * FROM notice WHERE notice_id = $1 FOR UPDATE", notice_id)
    if row is None:
        raise UnknownNotice(notice_id=notice_id)
    return row


async def _deliver(tx: Transaction, notice: Row, delivery: Delivery, *, actor: str) -> None:
    await tx.pg.execute(
        """UPDATE notice SET means = $2, delivered_at = $3, recorded_by = $4, proof = $5, proof_sha256 = $6
        WHERE notice_id = $1""",
        *(notice["notice_id"], delivery.means, delivery.delivered_at, actor, delivery.proof, delivery.proof_sha256),
    )
    facts = {"means": delivery.means, "digest": delivery.digest, "proof": delivery.proof}
    await record(tx, [Entry(actor, "notice.delivered", notice["notice_id"], facts)])


async def _tell(tx: Transaction, notice: Row, delivery: Delivery, *, acknowledged: bool) -> None:
    event = NoticeDelivered(
        drawdown_id=notice["drawdown_id"],
        notice_id=notice["notice_id"],
        obligor_id=notice["obligor_id"],
        means=delivery.means,
        delivered_at=delivery.delivered_at,
        digest=delivery.digest,
        acknowledged=acknowledged,
    )
    await append(tx, [event], source=SOURCE)
