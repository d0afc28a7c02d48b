"""What risk publishes: ratings."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from shared.events.envelope import Event
from shared.values.money import Amount


class RatingRecorded(Event):
    """Trigger: a risk officer records a rating with its reasons. Consumers: credit.

    Contents: the grade, the most the bank lends to or on this firm (`cap`), and what the grade does to the
    propagation weight (`multiplier`) and to the price (`risk_spread`), both decimal fractions.
    """

    type: ClassVar[str] = "rating.recorded.v1"
    topic: ClassVar[str] = "scf.risk.rating.v1"
    enterprise_id: str
    grade: str
    cap: Amount
    multiplier: str
    risk_spread: str
    reasons: list[str]
    valid_until: date
    policy_version: str

    @property
    def subject(self) -> str:
        return self.enterprise_id
