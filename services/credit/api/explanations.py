"""Why a line can draw what it can."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import AwareDatetime

from services.credit import queries
from services.credit.domain.explaining import Language
from shared.values.ids import parse_id
from shared.web.auth import BANK, Caller, access, own_party
from shared.web.serving import Db

router = APIRouter()


@router.get("/lines/{line_id}/explanation")
async def explain_line(  # noqa: PLR0917 - FastAPI passes each by name
    line_id: str,
    database: Db,
    caller: Annotated[Caller, access(*BANK, "sme")],
    language: Language | None = None,
    as_of: Annotated[AwareDatetime | None, Query(examples=["2026-03-02T09:30:00Z"])] = None,
    on: date | None = None,
    accept_language: Annotated[str, Header()] = "",
) -> dict[str, Any]:
    """Explain a line's available amount, in English or Chinese; today's, or as of a past instant.

    `as_of` is an instant by the bank's clock: what had been recorded by then, what documents carried and the firm's
    name among it. `on` is a business date that is over: its last instant. What others use of shared limits only the
    bank sees (R23).
    """
    found = await queries.explanation(
        database,
        line_id=parse_id(line_id),
        whole=caller.party is None,
        language=language or _preferred(accept_language),
        as_of=as_of,
        on=on,
    )
    own_party(caller, found["line"]["enterprise_id"])
    return found


def _preferred(accepted: str) -> Language:
    """Return the first of our languages that a browser names, English otherwise; weights are not looked at."""
    named = [part.strip()[:2].lower() for part in accepted.split(",")]
    chinese = named.index("zh") if "zh" in named else len(named)
    return "zh" if chinese < (named.index("en") if "en" in named else len(named)) else "en"
