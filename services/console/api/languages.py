"""English and Chinese: catalogues read from `.po` files at start, so that no compiled file is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

from babel import Locale, negotiate_locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import NumberPattern, parse_pattern
from babel.support import Translations
from fastapi import Request

from shared.values.money import minor_digits, minor_text, parse_minor

LOCALES = Path(__file__).parents[1] / "locales"
COOKIE = "tributary_language"
DEFAULT = "en"
# What HTML calls each language, in its own words.
LANGUAGES = {"en": "English", "zh": "中文"}
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}.*(Z|\+00:00)$")
_WORDY = frozenset({"direction", "state", "form", "undertaking", "reason", "cause"})


@dataclass(frozen=True)
class Language:
    """How a reader reads: messages, amounts, dates."""

    code: str

    @cached_property
    def locale(self) -> Locale:
        """Return Babel's locale."""
        return Locale.parse("zh_CN" if self.code == "zh" else self.code)

    @cached_property
    def messages(self) -> NullTranslations:
        """Return the catalogue; English is in the message ids themselves."""
        found: NullTranslations = NullTranslations()
        for path in sorted((LOCALES / self.code).glob("*.po")):
            compiled = BytesIO()
            with path.open("rb") as source:
                write_mo(compiled, read_po(source, locale=self.code))
            compiled.seek(0)
            read = Translations(compiled)
            found = found.merge(read) if isinstance(found, Translations) else read
        return found

    def word(self, text: Any) -> str:
        """Return a code as words in the language: above_automatic_approval → above automatic approval."""
        return str(self.messages.gettext(str(text).replace("_", " "))) if text not in {None, ""} else ""

    def words(self, text: str | None) -> str:
        """Return codes with commas between them as words in the language."""
        return ", ".join(self.word(each.strip()) for each in (text or "").split(","))

    def minor(self, amount_minor: int | None, currency: str | None) -> str:
        """Return minor units as a number of the currency's decimals, without the currency."""
        if amount_minor is None or not currency:
            return "–"
        number = Decimal(minor_text(amount_minor=amount_minor, currency=currency))
        return str(_pattern(minor_digits(currency)).apply(number, self.locale))

    def percent(self, rate: str | None) -> str:
        """Return a rate, a decimal fraction on the wire, in percent: 0.043500 → 4.35%."""
        return f"{Decimal(rate) * 100:f}".rstrip("0").rstrip(".") + "%" if rate else "–"

    def amount(self, wire: Mapping[str, str] | None) -> str:
        """Return an amount of the wire as a number, without the currency."""
        return self.minor(parse_minor(**wire), wire["currency"]) if wire else "–"

    def day(self, value: date | str | None) -> str:
        """Return a date: 2026-03-05 in English (unambiguous in a bank), 2026年3月5日 in Chinese."""
        if not value:
            return "–"
        parsed = date.fromisoformat(value) if isinstance(value, str) else value
        return format_date(parsed, "long", locale=self.locale) if self.code == "zh" else parsed.isoformat()

    def fact(self, name: str, value: Any, *, names: Mapping[str, str]) -> str:
        """Return a fact of an event as a reader reads it."""
        if isinstance(value, dict):
            minor = parse_minor(amount=value["amount"], currency=value["currency"])
            return f"{self.minor(minor, value['currency'])} {value['currency']}"
        if isinstance(value, list):
            return ", ".join(self.word(each) for each in value) or "–"
        if isinstance(value, bool):
            return self.word("yes" if value else "no")
        text = str(value)
        if name.endswith("_id") and text in names:
            return names[text]
        return self._text(self.words(text) if name in _WORDY else text)

    def _text(self, text: str) -> str:
        """Return dates, instants and ids as people write them; what a person wrote may name an id, too."""
        if _DATE.fullmatch(text):
            return self.day(text)
        if _INSTANT.match(text):
            return f"{self.day(text[:10])} {text[11:16]} UTC"
        return _ID.sub(lambda found: found[0][-8:], text)

    def time(self, value: datetime) -> str:
        """Return the time of an instant, to the millisecond, in UTC."""
        return value.strftime("%H:%M:%S.%f")[:-3]


_KNOWN = {code: Language(code) for code in LANGUAGES}


def language_of(request: Request) -> Language:
    """Return the reader's language: the one asked for, else the one chosen before, else the browser's."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if chosen in _KNOWN:
            return _KNOWN[chosen]
    accepted = request.headers.get("accept-language", "")
    preferred = [part.partition(";")[0].strip() for part in accepted.split(",")]
    found = negotiate_locale(preferred, list(LANGUAGES), sep="-") or DEFAULT
    return _KNOWN[found]


def language(code: str) -> Language:
    """Return a language by its code."""
    return _KNOWN[code]


@lru_cache
def _pattern(digits: int) -> NumberPattern:
    return parse_pattern(f"#,##0.{'0' * digits}" if digits else "#,##0")
