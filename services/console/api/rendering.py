"""How a page is rendered: one template environment a language, nothing cached by the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, cast
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from services.console import queries
from services.console.api.assets import assets
from services.console.api.languages import COOKIE, LANGUAGES, Language, language, language_of
from services.console.domain.summaries import SUMMARIES, WORDS
from shared.storage.database import Database

_YEAR_S = 31_536_000


class _Translatable(Protocol):
    def install_gettext_translations(self, translations: object, *, newstyle: bool) -> None: ...


class _Missing(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "–"


@lru_cache
def environment(code: str) -> Environment:
    """Return the templates in a language."""
    reader = language(code)
    made = Environment(
        loader=PackageLoader("services.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    cast("_Translatable", made).install_gettext_translations(reader.messages, newstyle=True)
    made.filters |= {
        "word": reader.word,
        "words": reader.words,
        "day": reader.day,
        "minor": reader.minor,
        "amount": reader.amount,
        "percent": reader.percent,
        "clock": reader.time,
    }
    made.globals |= {"language": reader, "languages": LANGUAGES, "assets": assets()}
    return made


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page in the reader's language; a language asked for is remembered."""
    reader = language_of(request)
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    switches = [(code, name, urlencode([("lang", code), *others])) for code, name in LANGUAGES.items()]
    page = environment(reader.code).get_template(template).render(path=request.url.path, switches=switches, **values)
    headers = {
        "cache-control": "no-store",
        "content-language": reader.code,
        "vary": "Accept-Language, Cookie",
    }
    response = HTMLResponse(page, status_code=status, headers=headers)
    if request.query_params.get("lang") in LANGUAGES:
        response.set_cookie(COOKIE, reader.code, max_age=_YEAR_S, httponly=True, samesite="lax")
    return response


def words_of(request: Request) -> dict[str, str]:
    """Return the codes that a page's scripts may meet, in the reader's language."""
    reader = language_of(request)
    return {code.replace(" ", "_"): reader.word(code) for code in WORDS}


async def summarise(
    database: Database, rows: Sequence[queries.Row], *, reader: Language
) -> list[tuple[queries.Row, str]]:
    """Return each event of the feed with its sentence; one look-up names every firm and programme."""
    named = {
        value for row in rows for name, value in row["facts"].items() if name.endswith("_id") and isinstance(value, str)
    }
    names = await queries.names(database, ids=sorted(named)) if named else {}
    return [(row, _summary(row, reader, names)) for row in rows]


def _summary(row: queries.Row, reader: Language, names: Mapping[str, str]) -> str:
    facts: Mapping[str, Any] = row["facts"]
    said = _Missing({name: reader.fact(name, value, names=names) for name, value in facts.items()})
    said["who"] = row["who"] or "–"
    sentence = SUMMARIES.get(row["type"])
    if sentence is None:
        return reader.word(row["type"].removesuffix(".v1").replace(".", " "))
    return reader.messages.gettext(sentence).format_map(said)
