"""Credit's HTTP app."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI

from services.credit.api import HOT_ROUTES, TooManyItems, document_hot_routes, router
from services.credit.domain.blocks import BlockLifted, UnknownBlockReason
from services.credit.domain.covers import CoverStepNotPossible
from services.credit.domain.drawdowns import NotPossible
from services.credit.domain.eligibility import BaseExceeded, NotDrawable, NotEligible
from services.credit.domain.instructions import EntrustedPaymentNeedsPayee, PayeeNotAllowed, UnknownPurpose
from services.credit.domain.least_cost import NotProved
from services.credit.domain.limits import LimitExceeded
from services.credit.domain.offers import DocumentInUse
from services.credit.domain.plans import InvalidPlan, PlanNotOffered
from services.credit.domain.pricing import NothingToLend
from services.credit.domain.products import ProductNotOffered, TenorNotOffered
from services.credit.domain.what_if import NotSupposable
from services.credit.domain.wide_integers import TooWide
from services.credit.operations.block_lines import UnknownBlock, UnknownEnterprise
from services.credit.operations.covers import UnknownCover
from services.credit.operations.drawdown_rows import UnknownDrawdown
from services.credit.operations.hold_drawdowns import HoldDrawdowns, QuoteExpired, QuoteMismatch, UnknownQuote
from services.credit.operations.line_terms import UnknownLine
from services.credit.operations.pair_limits import NoPair
from services.credit.queries import InstantToCome, UnknownProgramme, WhatIfBusy, WhatIfTooLarge, WhatIfTooSlow
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.web.parked import PARKED_STATUSES, parked_router
from shared.web.problems import ErrorStatuses
from shared.web.serving import ServiceApp, service_app

NAME = "credit"
STATUSES: ErrorStatuses = {
    **PARKED_STATUSES,
    UnknownLine: 404,
    UnknownProgramme: 404,
    UnknownDrawdown: 404,
    UnknownQuote: 404,
    UnknownCover: 404,
    UnknownBlock: 404,
    UnknownEnterprise: 404,
    LimitExceeded: 409,
    NotDrawable: 409,
    DocumentInUse: 409,
    QuoteMismatch: 409,
    NotPossible: 409,
    CoverStepNotPossible: 409,
    BlockLifted: 409,
    QuoteExpired: 410,
    TooManyItems: 413,
    NotEligible: 422,
    BaseExceeded: 422,
    NothingToLend: 422,
    UnknownPurpose: 422,
    UnknownBlockReason: 422,
    EntrustedPaymentNeedsPayee: 422,
    PayeeNotAllowed: 422,
    ProductNotOffered: 422,
    InvalidPlan: 422,
    PlanNotOffered: 422,
    TenorNotOffered: 422,
    NotSupposable: 422,
    WhatIfTooLarge: 422,
    WhatIfBusy: 503,
    WhatIfTooSlow: 503,
    NoPair: 422,
    TooWide: 422,
    InstantToCome: 422,
    NotProved: 503,
}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of credit."""
    database = Database(settings.database(NAME), pool_size=4)
    holds = HoldDrawdowns(database, hold_seconds=settings.hold_seconds)
    app = service_app(
        NAME,
        settings=settings,
        database=database,
        routers=[router, parked_router()],
        statuses=STATUSES,
        hot_routes=HOT_ROUTES,
        closing=[holds.aclose],
    )
    app.fastapi.state.holds = holds
    app.fastapi.openapi = partial(_openapi, app.fastapi, app.fastapi.openapi)  # type: ignore[method-assign] # FastAPI's own way to extend it
    return app


def _openapi(app: FastAPI, generated: Any) -> dict[str, Any]:
    """Return the OpenAPI document with the hot route in it, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = document_hot_routes(generated())
    return app.openapi_schema
