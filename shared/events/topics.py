"""The topics and their partitions. Counts never change: a topic grows by a v2 topic."""

from __future__ import annotations

from zlib import crc32

_BUSY, _CALM, _SINGLE = 6, 3, 1

TOPICS: dict[str, int] = {
    "scf.onboarding.enterprise.v1": _CALM,
    "scf.onboarding.link.v1": _CALM,
    "scf.onboarding.programme.v1": _CALM,
    "scf.receivables.order.v1": _BUSY,
    "scf.receivables.goods.v1": _BUSY,
    "scf.receivables.receivable.v1": _BUSY,
    "scf.receivables.voucher.v1": _BUSY,
    "scf.receivables.assignment.v1": _BUSY,
    "scf.receivables.set_off.v1": _CALM,
    "scf.receivables.credit_note.v1": _CALM,
    "scf.risk.rating.v1": _CALM,
    "scf.risk.decision.v1": _CALM,
    "scf.risk.warning.v1": _CALM,
    "scf.credit.limit.v1": _BUSY,
    "scf.credit.line.v1": _BUSY,
    "scf.credit.drawdown.v1": _BUSY,
    "scf.credit.cover.v1": _CALM,
    "scf.settlement.business_day.v1": _SINGLE,
    "scf.settlement.loan.v1": _BUSY,
    "scf.settlement.collection.v1": _BUSY,
    "scf.settlement.netting.v1": _CALM,
    "scf.onboarding.audit.v1": _SINGLE,
    "scf.receivables.audit.v1": _SINGLE,
    "scf.risk.audit.v1": _SINGLE,
    "scf.credit.audit.v1": _SINGLE,
    "scf.settlement.audit.v1": _SINGLE,
    "scf.console.audit.v1": _SINGLE,
}


def partition_of(*, topic: str, subject: str) -> int:
    """Return the partition of an aggregate: every event of one subject stays in one order."""
    return crc32(subject.encode()) % TOPICS[topic]


def shard_of(*, topic: str, subject: str) -> str:
    """Return the outbox shard of an aggregate: its topic-partition."""
    return f"{topic}-{partition_of(topic=topic, subject=subject)}"


def topics_of(service: str) -> list[str]:
    """Return the topics that a service publishes."""
    return [topic for topic in TOPICS if topic.startswith(f"scf.{service}.")]
