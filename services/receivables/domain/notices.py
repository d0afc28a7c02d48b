"""When a notice of assignment counts: from the moment that it reached the obligor, as it was written (R9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

Means = Literal["platform", "registered_mail", "courier", "email", "in_person"]


class OtherNotice(ValueError):
    """What was delivered or acknowledged is not the notice as it was written: the digests differ."""

    code: ClassVar[str] = "other_notice"

    def __init__(self, *, notice_id: str, digest: str) -> None:
        """Keep the notice and its digest."""
        self.notice_id = notice_id
        self.digest = digest
        super().__init__(f"The notice {notice_id} has the digest {digest}; what was named is another text.")


class InvalidDelivery(ValueError):
    """A notice reaches nobody before it is written, nor in the future."""

    code: ClassVar[str] = "invalid_delivery_time"

    def __init__(self, *, delivered_at: datetime, written_at: datetime) -> None:
        """Keep both instants."""
        self.delivered_at = delivered_at
        self.written_at = written_at
        super().__init__(f"The notice of {written_at.isoformat()} cannot have been delivered then.")


class DeliveredBefore(RuntimeError):
    """The notice was delivered before, by other evidence: the first delivery stands."""

    code: ClassVar[str] = "delivered_before"

    def __init__(self, *, notice_id: str, delivered_at: datetime) -> None:
        """Keep the notice and since when it counts."""
        self.notice_id = notice_id
        self.delivered_at = delivered_at
        super().__init__(f"The notice {notice_id} was delivered on {delivered_at.isoformat()}.")


@dataclass(frozen=True, slots=True)
class Delivery:
    """That a notice reached its obligor: how, when, and what proves it; `digest` is of the text that was delivered."""

    means: Means
    delivered_at: datetime
    digest: str
    proof: str = ""
    proof_sha256: str | None = None


def check_delivery(
    delivery: Delivery, *, notice_id: str, digest: str, written_at: datetime, now: datetime, before: Delivery | None
) -> bool:
    """Return whether the delivery is new; false for the same one again.

    OtherNotice, InvalidDelivery or DeliveredBefore when it cannot be recorded.
    """
    if delivery.digest != digest:
        raise OtherNotice(notice_id=notice_id, digest=digest)
    if before is not None:
        if before != delivery:
            raise DeliveredBefore(notice_id=notice_id, delivered_at=before.delivered_at)
        return False
    if not written_at <= delivery.delivered_at <= now:
        raise InvalidDelivery(delivered_at=delivery.delivered_at, written_at=written_at)
    return True
