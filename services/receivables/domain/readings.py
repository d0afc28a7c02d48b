"""What devices say of goods: temperature, humidity, place, quantity; and whether it is as agreed.

Temperature and humidity are hundredths (of a degree Celsius, of a per cent), latitude and longitude millionths of a
degree, quantities thousandths of the receipt's unit.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from math import asin, cos, hypot, radians, sin, sqrt
from typing import Any, ClassVar

from services.receivables.domain.documents import FIRST_YEAR, LAST_YEAR, UnreadableDocument, read_text
from services.receivables.domain.goods import read_quantity

MOST_READINGS = 10_000
COLUMNS = ("device", "measured_at", "temperature", "humidity", "latitude", "longitude", "quantity")
_LONGEST_DEVICE = 80
_EARTH_M = 6_371_000.0
_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d{1,12})?", re.ASCII)
# What is measured: its scale, and between what the world keeps it.
_SCALES: Mapping[str, tuple[int, Decimal, Decimal]] = {
    "temperature": (100, Decimal(-273), Decimal(2000)),
    "humidity": (100, Decimal(0), Decimal(100)),
    "latitude": (1_000_000, Decimal(-90), Decimal(90)),
    "longitude": (1_000_000, Decimal(-180), Decimal(180)),
}


class InvalidReading(ValueError):
    """A reading that says nothing that can be kept, and why."""

    code: ClassVar[str] = "invalid_reading"

    def __init__(self, *, field: str, reason: str) -> None:
        """Keep the field and what is wrong with it."""
        self.field = field
        self.reason = reason
        super().__init__(f"The {field} {reason}.")


class UnknownDevice(LookupError):
    """No pledge names this device, so nobody knows what it measures."""

    code: ClassVar[str] = "unknown_device"

    def __init__(self, *, device: str) -> None:
        """Keep the device."""
        self.device = device
        super().__init__(f"No pledge names the device {device!r}.")


class ReadingConflict(ValueError):
    """The device said something else for this instant before."""

    code: ClassVar[str] = "reading_conflict"

    def __init__(self, *, device: str, measured_at: datetime) -> None:
        """Keep device and instant."""
        self.device = device
        self.measured_at = measured_at
        super().__init__(f"The device {device!r} said something else for {measured_at.isoformat()} before.")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one device measured at one instant; what it did not measure is None."""

    device: str
    measured_at: datetime
    temperature: int | None = None
    humidity: int | None = None
    latitude: int | None = None
    longitude: int | None = None
    quantity_milli: int | None = None


Row = Reading | InvalidReading


def read_json(data: bytes) -> Iterator[Row]:
    """Yield each reading of a JSON document `{"readings": […]}`, or why it is none; UnreadableDocument otherwise."""
    try:
        found = json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UnreadableDocument("The document is not JSON.") from error
    rows = found.get("readings") if isinstance(found, dict) and found.keys() == {"readings"} else None
    if not isinstance(rows, list):
        raise UnreadableDocument("The document is not an object with a list of readings.", field="readings")
    yield from map(_row, _bounded(rows))


def read_lines(data: bytes) -> Iterator[Row]:
    """Yield each reading of NDJSON, one object a line, or why it is none; UnreadableDocument when it is no text."""
    for line in _bounded(line for line in _text(data).split("\n") if line.strip()):
        try:
            found = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError):
            yield InvalidReading(field="reading", reason="is not JSON")
            continue
        yield _row(found)


def read_csv(data: bytes) -> Iterator[Row]:
    """Yield each reading of a CSV with the columns above, or why it is none; UnreadableDocument for another file."""
    rows = csv.reader(_text(data).splitlines(), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if not {"device", "measured_at"} <= set(header) <= set(COLUMNS) or len(set(header)) < len(header):
            raise UnreadableDocument(f"The header is not of {','.join(COLUMNS)}.")
        for cells in _bounded(row for row in rows if any(cell.strip() for cell in row)):
            if len(cells) != len(header):
                yield InvalidReading(field="row", reason=f"has {len(cells)} cells, the header {len(header)}")
            else:
                yield _row({name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()})
    except csv.Error as error:
        raise UnreadableDocument("The file is not CSV.") from error


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableDocument("The file is not UTF-8.") from error


def _bounded(rows: Iterable[Any]) -> Iterator[Any]:
    for nth, row in enumerate(rows, start=1):
        if nth > MOST_READINGS:
            raise UnreadableDocument(f"There are more than {MOST_READINGS} readings.", field="readings")
        yield row


def _row(found: Any) -> Row:
    try:
        return _reading(found)
    except InvalidReading as error:
        return error
    except UnreadableDocument as error:
        return InvalidReading(
            field=getattr(error, "field", "reading"), reason="is too long or holds control characters"
        )


def _reading(found: Any) -> Reading:
    if not isinstance(found, dict) or not found.keys() <= set(COLUMNS):
        raise InvalidReading(field="reading", reason=f"is not an object of {', '.join(COLUMNS)}")
    texts = {name: _written(value, field=name) for name, value in found.items() if value is not None}
    device = read_text(texts.get("device"), field="device", longest=_LONGEST_DEVICE)
    if not device:
        raise InvalidReading(field="device", reason="is missing")
    place = read_place(texts.get("latitude"), texts.get("longitude"))
    measured = {name: _scaled(texts[name], field=name) for name in ("temperature", "humidity") if name in texts}
    measured |= {name: degrees for name, degrees in place.items() if degrees is not None}
    if "quantity" in texts:
        measured["quantity_milli"] = _quantity(texts["quantity"])
    if not measured:
        raise InvalidReading(field="reading", reason="measures nothing")
    return Reading(device, _instant(texts.get("measured_at", "")), **measured)


def _written(value: Any, *, field: str) -> str:
    """Return a value as text: devices write numbers as numbers, files as text."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    raise InvalidReading(field=field, reason="is neither text nor a number")


def _scaled(text: str, *, field: str) -> int:
    scale, least, most = _SCALES[field]
    if not _NUMBER.fullmatch(text) or not least <= Decimal(text) <= most:
        raise InvalidReading(field=field, reason=f"is not a number from {least} to {most}")
    return int((Decimal(text) * scale).to_integral_value())


def read_place(latitude: str | None, longitude: str | None) -> dict[str, int | None]:
    """Return a place's latitude and longitude, both or neither; InvalidReading for anything else."""
    if (latitude is None) != (longitude is None):
        raise InvalidReading(field="place", reason="has latitude and longitude, or neither")
    if latitude is None or longitude is None:
        return {"latitude": None, "longitude": None}
    return {"latitude": _scaled(latitude, field="latitude"), "longitude": _scaled(longitude, field="longitude")}


def _quantity(text: str) -> int:
    if _NUMBER.fullmatch(text) and Decimal(text) == 0:
        return 0
    try:
        return read_quantity(text)
    except UnreadableDocument:
        raise InvalidReading(
            field="quantity", reason="is not a decimal number of at most three decimals, from 0 on"
        ) from None


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise InvalidReading(field="measured_at", reason="is not an instant with its offset, such as 2026-03-02T09:00Z")
    return found.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which temperatures and humidities goods are kept, each (least, most); where none is given any will do."""

    temperature: tuple[int, int] | None = None
    humidity: tuple[int, int] | None = None

    def within(self, narrower: Bounds) -> Bounds:
        """Return the bounds with what was agreed in place of what is usual."""
        return Bounds(narrower.temperature or self.temperature, narrower.humidity or self.humidity)

    def broken_by(self, reading: Reading) -> bool:
        """Return whether a reading is outside."""
        pairs = ((self.temperature, reading.temperature), (self.humidity, reading.humidity))
        return any(
            bounds is not None and measured is not None and not bounds[0] <= measured <= bounds[1]
            for bounds, measured in pairs
        )


def bounds_of(stated: Mapping[str, Any]) -> Bounds:
    """Return bounds from (least, most) texts by what they bound; InvalidReading where they are none."""
    found = {}
    for name, (least, most) in stated.items():
        pair = _scaled(least, field=name), _scaled(most, field=name)
        if pair[0] > pair[1]:
            raise InvalidReading(field=name, reason="has a least above its most")
        found[name] = pair
    return Bounds(**found)


@dataclass(frozen=True, slots=True)
class Watch:
    """What readings of a lot are judged by: its bounds, and how far from its place it may be."""

    bounds: Bounds
    latitude: int | None
    longitude: int | None
    radius_m: int

    def in_place(self, reading: Reading) -> bool | None:
        """Return whether a lot is where it should be; None when either place is unknown."""
        if None in (self.latitude, self.longitude, reading.latitude, reading.longitude):
            return None
        return metres_between(self._place, (reading.latitude or 0, reading.longitude or 0)) <= self.radius_m

    @property
    def _place(self) -> tuple[int, int]:
        return self.latitude or 0, self.longitude or 0


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of a lot by its readings: the last quantity and place, the last day on which it was outside."""

    measured_milli: int | None = None
    measured_at: datetime | None = None
    in_place: bool | None = None
    place_at: datetime | None = None
    excursion_date: date | None = None


def observe(observed: Observed, readings: Iterable[Reading], watch: Watch) -> Observed:
    """Return what is known after more readings, in whatever order they come; of one instant the worse counts."""
    for each in readings:
        if each.quantity_milli is not None:
            mine = (each.measured_at, -each.quantity_milli)
            if observed.measured_at is None or mine > (observed.measured_at, -(observed.measured_milli or 0)):
                observed = replace(observed, measured_milli=each.quantity_milli, measured_at=each.measured_at)
        place = watch.in_place(each)
        if place is not None and (
            observed.place_at is None or (each.measured_at, not place) > (observed.place_at, not observed.in_place)
        ):
            observed = replace(observed, in_place=place, place_at=each.measured_at)
        if watch.bounds.broken_by(each):
            day = each.measured_at.date()
            observed = replace(observed, excursion_date=max(observed.excursion_date or day, day))
    return observed


def metres_between(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the distance of two places on the globe, each (latitude, longitude) in millionths of a degree."""
    (north, east), (north_too, east_too) = (tuple(radians(each / 1e6) for each in place) for place in (one, other))
    half = hypot(sin((north_too - north) / 2), sqrt(cos(north) * cos(north_too)) * sin((east_too - east) / 2))
    return 2 * _EARTH_M * asin(min(1.0, half))
