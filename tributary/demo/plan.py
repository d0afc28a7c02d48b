"""What a run of the story is made of: the firms, a programme per currency, the files, the dates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from shared.events.onboarding import SizeClass
from shared.values.money import MAX_MINOR, minor_digits

MAIN_DUE_DAYS, LATER_DUE_DAYS, STORY_DAYS = 50, 120, 72
_BEFORE = timedelta(days=10)
_SMALLEST_LIMIT = 10_000_000
# The dated policies begin here: no book of ours opens earlier.
_EARLIEST = date(2000, 1, 3)


@dataclass(frozen=True, slots=True)
class Firm:
    """A firm to be registered; `key` is how the plan speaks of it before it has an id."""

    key: str
    name: str
    country: str
    identifiers: Mapping[str, str] = field(default_factory=dict)
    size_class: SizeClass = "small"
    group: str | None = None

    @property
    def account(self) -> str:
        """Return the account to which money for this firm goes."""
        return f"ACC-{self.key}"[:40]


@dataclass(frozen=True, slots=True)
class InvoiceFile:
    """One file to upload; `by` is the anchor whose ERP sends it, None when the bank's operations do.

    `parties` says who seller and buyer are where the file calls both alike.
    """

    name: str
    body: bytes
    media_type: str
    by: str | None
    parties: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """Who supplies whom, and for how much in a year, in minor units."""

    supplier: str
    buyer: str
    traded_minor: int


@dataclass(frozen=True, slots=True)
class ProgrammePlan:
    """One anchor's programme in one currency: its members are whoever trades there, but for the outsiders.

    `total_minor` is what the invoices say that the anchor owes.
    """

    currency: str
    anchor: str
    trades: Sequence[Trade]
    total_minor: int
    outsiders: frozenset[str] = frozenset()

    @property
    def members(self) -> list[tuple[str, Literal["upstream", "downstream"]]]:
        """Return every member once; who buys from the anchor stands downstream, unless it also supplies."""
        found: dict[str, Literal["upstream", "downstream"]] = {}
        for trade in self.trades:
            if trade.supplier not in {self.anchor, *self.outsiders}:
                found[trade.supplier] = "upstream"
        for trade in self.trades:
            if trade.supplier == self.anchor:
                found.setdefault(trade.buyer, "downstream")
        return list(found.items())

    @property
    def limit_minor(self) -> int:
        """Return the programme's limit: ample for what the invoices say."""
        smallest: int = _SMALLEST_LIMIT * 10 ** minor_digits(self.currency)
        return min(MAX_MINOR, max(smallest, 4 * self.total_minor))


@dataclass(frozen=True, slots=True)
class Roles:
    """Who plays whom in the story's currency, by the firms' keys."""

    first: str
    second: str
    third: str
    deep: str
    distributor: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run needs before it begins; `lacks` says, by step, what a folder could not give."""

    title: str
    firms: Sequence[Firm]
    main: ProgrammePlan
    others: Sequence[ProgrammePlan]
    roles: Roles
    opening: date
    story_date: date
    files: Callable[[Mapping[str, str]], Sequence[InvoiceFile]]
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def main_due(self) -> date:
        """Return when the invoice that is followed to its end falls due."""
        return self.story_date + timedelta(days=MAIN_DUE_DAYS)

    @property
    def later_due(self) -> date:
        """Return when the others fall due: after the story's end."""
        return self.story_date + timedelta(days=LATER_DUE_DAYS)


def story_dates(*, issued: Sequence[date], today: date) -> tuple[date, date]:
    """Return when the book opens and on which date money is drawn.

    The book opens before the earliest invoice; money is drawn once the last is issued, early enough that
    everything that follows ends not after today.
    """
    latest = max(issued, default=today) + timedelta(days=2)
    drawn = max(_EARLIEST + 2 * _BEFORE, min(latest, today - timedelta(days=STORY_DAYS)))
    opening = max(_EARLIEST, min([*issued, drawn]) - _BEFORE)
    return opening, drawn
