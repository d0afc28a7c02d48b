"""Console's HTTP app."""

from __future__ import annotations

from fastapi import APIRouter

from services.console.api import ROUTERS
from services.console.api.pages import install_pages
from shared.messaging.parked import DECISIONS
from shared.runtime.settings import Settings
from shared.storage.database import Database
from shared.web.approvals import approvals_router
from shared.web.parked import PARKED_STATUSES, parked_router
from shared.web.problems import ErrorStatuses
from shared.web.serving import ServiceApp, service_app

NAME = "console"
STATUSES: ErrorStatuses = {**PARKED_STATUSES}


def build(settings: Settings) -> ServiceApp:
    """Return the HTTP app of console."""
    database = Database(settings.database(NAME), pool_size=4)
    decisions = APIRouter(prefix=f"/{NAME}/v1")
    decisions.include_router(parked_router())
    decisions.include_router(approvals_router(deciders=("bank_maker", "bank_checker"), approved=DECISIONS))
    routers = [*ROUTERS, decisions]
    app = service_app(NAME, settings=settings, database=database, routers=routers, statuses=STATUSES)
    install_pages(app.fastapi)
    return app
