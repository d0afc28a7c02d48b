"""The book and its open day: it moves forward only, never past today; what comes late is posted to the open day."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from shared.values.calendars import value_date


class BookNotOpen(Exception):
    """Nothing can be booked: the book was never opened."""

    code: ClassVar[str] = "book_not_open"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("The book is not open; open it with an opening date first.")


class BookAlreadyOpen(Exception):
    """The book is opened once."""

    code: ClassVar[str] = "book_already_open"

    def __init__(self, *, open_date: date) -> None:
        """Keep the open day."""
        self.open_date = open_date
        super().__init__(f"The book is open already, at {open_date}.")


class DayInTheFuture(ValueError):
    """No day opens or closes before it is there."""

    code: ClassVar[str] = "day_in_the_future"

    def __init__(self, *, day: date, today: date) -> None:
        """Keep the day and today."""
        self.day = day
        self.today = today
        super().__init__(f"{day} has not come yet: today is {today}.")


class DayAlreadyClosed(Exception):
    """A day is closed once; the book never goes back."""

    code: ClassVar[str] = "day_already_closed"

    def __init__(self, *, day: date, open_date: date) -> None:
        """Keep the day and the open one."""
        self.day = day
        self.open_date = open_date
        super().__init__(f"{day} is closed already; the open day is {open_date}.")


class ValueDateAhead(ValueError):
    """A statement dates an entry after the open day: the book has not come there yet."""

    code: ClassVar[str] = "value_date_ahead"

    def __init__(self, *, value_date: date, open_date: date) -> None:
        """Keep both dates."""
        self.value_date = value_date
        self.open_date = open_date
        super().__init__(f"The value date {value_date} lies after the open day {open_date}.")


def today(*, now: datetime, zone: str) -> date:
    """Return the calendar date of an instant where the bank is."""
    return now.astimezone(ZoneInfo(zone)).date()


def check_open(*, opening_date: date, today: date) -> None:
    """Refuse to open a book in the future; DayInTheFuture."""
    if opening_date > today:
        raise DayInTheFuture(day=opening_date, today=today)


def check_close(*, day: date, open_date: date, today: date) -> None:
    """Refuse to close a day twice, or before it is there; DayAlreadyClosed, DayInTheFuture."""
    if day < open_date:
        raise DayAlreadyClosed(day=day, open_date=open_date)
    if day > today:
        raise DayInTheFuture(day=day, today=today)


def payment_value_date(*, instant: datetime, zone: str, cut_off: time, open_date: date) -> date:
    """Return the value date of a payment sent now: the open day, or from the cut-off on the next one (R18).

    While the book lags behind the calendar the cut-off of the open day is long past: then the open day counts.
    """
    if open_date < instant.astimezone(ZoneInfo(zone)).date():
        return open_date
    return max(open_date, value_date(instant=instant, zone=zone, cut_off=cut_off))


def check_value_date(*, value_date: date, open_date: date) -> None:
    """Refuse an entry dated after the open day; ValueDateAhead."""
    if value_date > open_date:
        raise ValueDateAhead(value_date=value_date, open_date=open_date)


def day_after(day: date) -> date:
    """Return the next calendar day."""
    return day + timedelta(days=1)
