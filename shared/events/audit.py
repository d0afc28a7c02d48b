"""What every service publishes of its audit log: the heads of the chain, out of its own database's reach."""

from __future__ import annotations

from typing import ClassVar

from shared.events.envelope import Event
from shared.events.topics import TOPICS


class AuditSealed(Event):
    """Trigger: the sealer chained the audit log up to a row. Consumers: verify (I11), whoever keeps the bank's records.

    Contents: the number of the seal, the position of its row, the digest of the chain up to there.
    """

    type: ClassVar[str] = "audit.sealed.v1"
    topic: ClassVar[str] = "scf.*.audit.v1"
    service: str
    number: int
    position: int
    digest: str

    @property
    def subject(self) -> str:
        return self.service

    @property
    def channel(self) -> str:
        return audit_topic(self.service)

    @classmethod
    def topics(cls) -> tuple[str, ...]:
        """Return the topics, one a service."""
        return tuple(topic for topic in TOPICS if topic.split(".")[2] == "audit")


def audit_topic(service: str) -> str:
    """Return the topic on which a service publishes the heads of its audit log."""
    return f"scf.{service}.audit.v1"
