"""An obligor's assent given outside of the platform: what is kept of it, and when it can have been given."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, ClassVar, Literal

Means = Literal["registered_mail", "courier", "email", "in_person"]


class InvalidAssentDate(ValueError):
    """Nobody assents to a cancellation before the document was issued, nor in the future."""

    code: ClassVar[str] = "invalid_assent_date"

    def __init__(self, *, given_date: date) -> None:
        """Keep the date."""
        self.given_date = given_date
        super().__init__(f"The obligor cannot have assented on {given_date}.")


@dataclass(frozen=True, slots=True)
class Assent:
    """Who signed for the obligor and when, how it came, and the document that proves it."""

    given_date: date
    signed_by: str
    means: Means
    proof: str
    proof_sha256: str

    def wire(self) -> dict[str, Any]:
        """Return the shape that is proposed and kept."""
        return {**asdict(self), "given_date": self.given_date.isoformat()}


def check_assent(assent: Assent, *, issued: date, today: date) -> None:
    """Refuse a date on which the obligor cannot have assented; InvalidAssentDate."""
    if not issued <= assent.given_date <= today:
        raise InvalidAssentDate(given_date=assent.given_date)
