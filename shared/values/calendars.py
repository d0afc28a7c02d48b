"""Business calendars and cut-off times (R15, R18)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from holidays import HolidayBase


class InvalidZone(ValueError):
    """A time zone that the IANA database does not name."""

    code: ClassVar[str] = "invalid_zone"

    def __init__(self, *, zone: str) -> None:
        """Keep the refused name (shortened)."""
        self.zone = zone[:60]
        super().__init__(f"{self.zone!r} is not an IANA time zone.")


class Roll(StrEnum):
    """Where a date that is no business day moves to."""

    NONE = "none"
    FOLLOWING = "following"
    MODIFIED_FOLLOWING = "modified_following"
    PRECEDING = "preceding"


@lru_cache(maxsize=16)
def _holidays(country: str) -> HolidayBase:
    # Imported on first use: the tables of all countries cost a tenth of a second.
    import holidays

    return holidays.country_holidays(country)


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """A country's working days; policy data may add days off and working weekends."""

    country: str = "CN"
    extra_days_off: frozenset[date] = field(default_factory=frozenset)
    extra_working_days: frozenset[date] = field(default_factory=frozenset)

    def is_business_day(self, day: date) -> bool:
        """Return whether banks work on the day."""
        if day in self.extra_working_days:
            return True
        if day in self.extra_days_off:
            return False
        return bool(_holidays(self.country).is_working_day(day))

    def roll(self, day: date, *, convention: Roll) -> date:
        """Return the day, moved to a business day by the contract's convention."""
        if convention is Roll.NONE or self.is_business_day(day):
            return day
        if convention is Roll.PRECEDING:
            return self._step(day, timedelta(days=-1))
        following = self._step(day, timedelta(days=1))
        if convention is Roll.MODIFIED_FOLLOWING and following.month != day.month:
            return self._step(day, timedelta(days=-1))
        return following

    def _step(self, day: date, by: timedelta) -> date:
        while not self.is_business_day(day):
            day += by
        return day


def value_date(*, instant: datetime, zone: str, cut_off: time) -> date:
    """Return the local date of an instant, or the next one from the cut-off time on (R18)."""
    local = instant.astimezone(ZoneInfo(zone))
    day = local.date()
    return day if local.timetz().replace(tzinfo=None) < cut_off else day + timedelta(days=1)


def check_zone(zone: str) -> str:
    """Return the zone's name; InvalidZone when nobody knows it."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidZone(zone=zone) from error
    return zone
