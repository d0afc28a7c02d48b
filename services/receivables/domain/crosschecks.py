"""What two banks compare without telling each other: claims by what every bank reads on the same invoice (R8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

Kind = Literal["claim", "trade"]
_LONGEST_DAYS = 400


class InvalidPeriod(ValueError):
    """The issue dates to compare end before they begin, or span more than a check covers."""

    code: ClassVar[str] = "invalid_period"

    def __init__(self, *, issued_from: date, issued_to: date) -> None:
        """Keep both dates."""
        self.issued_from = issued_from
        self.issued_to = issued_to
        super().__init__(f"{issued_from} to {issued_to} is no period of up to {_LONGEST_DAYS} days.")


class CrosscheckTooLarge(ValueError):
    """More points than one file may hold: ask for a shorter period."""

    code: ClassVar[str] = "crosscheck_too_large"

    def __init__(self, *, points: int, most: int) -> None:
        """Keep both numbers."""
        self.points = points
        self.most = most
        super().__init__(f"{points} points are more than the {most} that one check may compare.")


class TooManyAnswers(RuntimeError):
    """The partner got as many answers as the policy allows within thirty days (guesses are tried by asking)."""

    code: ClassVar[str] = "too_many_answers"

    def __init__(self, *, partner: str, most: int) -> None:
        """Keep whom, and how many it may get."""
        self.partner = partner
        self.most = most
        super().__init__(f"{partner} got {most} answers within thirty days: no more of them for now.")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A receivable by what another bank can know of it: legal identifiers, never an id of ours."""

    receivable_id: str
    seller_identifiers: tuple[str, ...]
    obligor_identifiers: tuple[str, ...]
    number_key: str
    issue_date: date
    currency: str
    payable_minor: int


def check_period(*, issued_from: date, issued_to: date) -> None:
    """Refuse a period that is none; InvalidPeriod."""
    if not 0 <= (issued_to - issued_from).days <= _LONGEST_DAYS:
        raise InvalidPeriod(issued_from=issued_from, issued_to=issued_to)


def texts_of(claimed: Claimed) -> list[tuple[Kind, str]]:
    """Return the texts by which a claim is compared, for each identifier that its parties have.

    `claim` is the duplicate key (R8); `trade` finds it under another number: parties, amount and issue date.
    """
    money = f"{claimed.currency}|{claimed.payable_minor}"
    texts: list[tuple[Kind, str]] = []
    for seller in claimed.seller_identifiers:
        texts.append(("claim", f"claim|{seller}|{claimed.number_key}|{claimed.issue_date.year}"))
        texts += [
            ("trade", f"trade|{seller}|{obligor}|{money}|{claimed.issue_date}")
            for obligor in claimed.obligor_identifiers
        ]
    return texts


def by_point(
    claims: Sequence[Claimed], texts: Sequence[tuple[Kind, str]], points: Iterable[bytes]
) -> dict[bytes, set[tuple[str, Kind]]]:
    """Return which receivables each point stands for; the texts are those of the claims, in their order."""
    found: dict[bytes, set[tuple[str, Kind]]] = {}
    owners = [claimed.receivable_id for claimed in claims for _ in texts_of(claimed)]
    for owner, (kind, _), point in zip(owners, texts, points, strict=True):
        found.setdefault(point, set()).add((owner, kind))
    return found
